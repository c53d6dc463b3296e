//go:build linux

package relay

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fe022423/submission"
	"github.com/fe022423/submission/outbox"
	_ "github.com/fe022423/submission/outbox/embedded"
	"github.com/fe022423/submission/outbox/relay"
	"github.com/fe022423/submission/smtptest"
)

func TestMain(m *testing.M) {
	if os.Getenv(childDSN) != "" {
		child()
		return
	}
	code := m.Run()
	postgres.remove()
	mariadb.remove()
	os.Exit(code)
}

// deadline ends a test that hangs. Nothing waits for it otherwise.
func deadline(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// logged collects what is logged while a test runs: Run logs with slog.Default().
func logged(t *testing.T) func() string {
	var b syncBuffer
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&b, nil)))
	t.Cleanup(func() {
		slog.SetDefault(before)
		if t.Failed() {
			t.Log(b.String())
		}
	})
	return b.String
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// open is a queue of the test's own.
func open(t testing.TB, change func(*outbox.Options)) *outbox.Outbox {
	t.Helper()
	o := &outbox.Options{Dir: t.TempDir()}
	if change != nil {
		change(o)
	}
	q, err := outbox.Open(deadline(t), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { q.Close() })
	return q
}

func envelope(to string) submission.Envelope {
	return submission.Envelope{From: "shop@example.org", To: submission.To(to)}
}

func text(body string) string { return "Subject: test\r\n\r\n" + body + "\r\n" }

// insert stores a message in a transaction of its own. It returns the ID that the message will
// have in the queue.
func insert(t testing.TB, db *sql.DB, to, body string, it *outbox.Item) outbox.ID {
	t.Helper()
	tx, err := db.BeginTx(deadline(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	key := rowAdded(t, tx, func() error {
		return relay.Insert(deadline(t), tx, envelope(to), strings.NewReader(text(body)), it)
	})
	if it != nil && it.Key != "" {
		key = it.Key
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	return outbox.IDOf(key)
}

// rowAdded is the id of the row that add adds within tx.
func rowAdded(t testing.TB, tx *sql.Tx, add func() error) (id string) {
	t.Helper()
	before := rowIDs(t, tx)
	if err := add(); err != nil {
		t.Fatal(err)
	}
	for one := range rowIDs(t, tx) {
		if !before[one] {
			id = one
		}
	}
	return id
}

func rowIDs(t testing.TB, tx *sql.Tx) map[string]bool {
	t.Helper()
	rows, err := tx.QueryContext(deadline(t), "SELECT id FROM outbox_relay")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	ids := map[string]bool{}
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			t.Fatal(err)
		}
		ids[id] = true
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return ids
}

func count(t testing.TB, db *sql.DB, where string) (n int) {
	t.Helper()
	if err := db.QueryRowContext(deadline(t), "SELECT count(*) FROM outbox_relay WHERE "+where).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// background is a call that lasts until the test, or stop, ends it; it must return nil.
func background(t testing.TB, f func(ctx context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- f(ctx) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			if err := <-ended; err != nil {
				t.Error(err)
			}
		})
	}
	t.Cleanup(stop)
	return stop
}

func run(t testing.TB, db *sql.DB, q *outbox.Outbox) (stop func()) {
	return background(t, func(ctx context.Context) error { return relay.Run(ctx, db, q) })
}

// work sends what is in the queue to srv.
func work(t testing.TB, q *outbox.Outbox, srv *smtptest.Server) (stop func()) {
	client, err := submission.New(srv.Addr(), &submission.Options{TLS: submission.TLSNone})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return background(t, func(ctx context.Context) error {
		return q.Work(ctx, &outbox.WorkOptions{Client: func(string) (*submission.Client, error) { return client, nil }})
	})
}

// until waits for something to be true, looking whenever something happened in the database
// that Run uses.
func until(t testing.TB, happened <-chan struct{}, what string, is func() bool) {
	t.Helper()
	for limit := deadline(t); !is(); {
		select {
		case <-happened:
		case <-limit.Done():
			t.Fatalf("it never was: %s", what)
		}
	}
}

// observed is a database that says when something happened in it.
func (e engine) observed(t testing.TB, dsn string) (*sql.DB, <-chan struct{}) {
	happened := make(chan struct{}, 1)
	return e.watched(t, dsn, func(s step) error {
		if !strings.HasPrefix(s.query, "SELECT count") { // the test looks
			select {
			case happened <- struct{}{}:
			default:
			}
		}
		return nil
	}), happened
}

// arrived counts what a server accepted for each recipient.
func arrived(srv *smtptest.Server) map[string]int {
	n := map[string]int{}
	for _, m := range srv.Messages() {
		n[m.To[0]]++
	}
	return n
}

func numbered(prefix string, i int) string { return fmt.Sprintf("%s%d@example.net", prefix, i) }

func once(t testing.TB, srv *smtptest.Server, prefix string, n int) {
	t.Helper()
	if _, err := srv.Wait(deadline(t), n); err != nil {
		t.Error(err)
	}
	for i := range n {
		to := numbered(prefix, i)
		if got := arrived(srv)[to]; got != 1 {
			t.Errorf("%s got it %d times", to, got)
		}
	}
	if got := len(srv.Messages()); got != n {
		t.Errorf("%d messages arrived, want %d", got, n)
	}
}
