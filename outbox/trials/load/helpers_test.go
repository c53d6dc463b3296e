//go:build unix

package load

import (
	"bytes"
	"context"
	"database/sql"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"maragu.dev/goqite"
	_ "modernc.org/sqlite"

	"github.com/fe022423/submission"
	"github.com/fe022423/submission/outbox"
	_ "github.com/fe022423/submission/outbox/embedded"
	"github.com/fe022423/submission/smtptest"
)

var (
	large    = flag.Bool("large", false, "measure for minutes")
	queued   = flag.Int("queued", 1_000_000, "messages in the large queue, with -large")
	deferred = flag.Int("deferred", 100_000, "of them not due yet")
	dir      = flag.String("dir", "", "where the queues are; a temporary directory if empty")
)

const serverOnly = "OUTBOX_LOAD_SERVER"

// TestMain is also the SMTP server, in a process of its own: its work is not measured.
func TestMain(m *testing.M) {
	if os.Getenv(serverOnly) == "" {
		os.Exit(m.Run())
	}
	srv := smtptest.NewServer(&smtptest.Config{Discard: true, Extensions: []string{"PIPELINING", "8BITMIME", "SMTPUTF8", "CHUNKING", "ENHANCEDSTATUSCODES"}})
	fmt.Println(srv.Addr())
	io.Copy(io.Discard, os.Stdin) // until the parent ends
}

// smtpServer starts one and returns a client of it.
func smtpServer(t testing.TB, sessions int) *submission.Client {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), serverOnly+"=1")
	out, err := cmd.StdoutPipe()
	must(t, err)
	in, err := cmd.StdinPipe()
	must(t, err)
	must(t, cmd.Start())
	t.Cleanup(func() { in.Close(); cmd.Wait() })
	line := make([]byte, 100)
	n, err := out.Read(line)
	must(t, err)
	c, err := submission.New(strings.TrimSpace(string(line[:n])), &submission.Options{TLS: submission.TLSNone, Pool: submission.PoolOptions{MaxSessions: sessions}})
	must(t, err)
	t.Cleanup(func() { c.Close() })
	return c
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// place is a new directory for a queue.
func place(t testing.TB) string {
	t.Helper()
	if *dir == "" {
		return t.TempDir()
	}
	d, err := os.MkdirTemp(*dir, "load")
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(d) })
	return d
}

func open(t testing.TB, at string) *outbox.Outbox {
	t.Helper()
	ob, err := outbox.Open(t.Context(), &outbox.Options{Dir: at, Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	must(t, err)
	t.Cleanup(func() { ob.Close() })
	return ob
}

var (
	octets   = append([]byte("Subject: load\r\n\r\n"), bytes.Repeat([]byte("0123456789012345678901234567890123456789012345678901234567890123\r\n"), 62)...)
	envelope = submission.Envelope{From: "me@example.org", To: submission.To("you@example.net")}
)

func messages(n int, it *outbox.Item) func(func(outbox.Message) bool) {
	return func(yield func(outbox.Message) bool) {
		for range n {
			if !yield(outbox.Message{Envelope: envelope, Body: bytes.NewReader(octets), Item: it}) {
				return
			}
		}
	}
}

// goqiteQueue is a queue of goqite that syncs each transaction.
func goqiteQueue(t testing.TB) (*sql.DB, *goqite.Queue) {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(place(t), "queue.db")+"?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=busy_timeout(5000)")
	must(t, err)
	db.SetMaxOpenConns(1) // as its documentation advises
	t.Cleanup(func() { db.Close() })
	source, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "maragu.dev/goqite").Output()
	must(t, err)
	schema, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(source)), "schema_sqlite.sql"))
	must(t, err)
	_, err = db.Exec(string(schema))
	must(t, err)
	return db, goqite.New(goqite.NewOpts{DB: db, Name: "mail"})
}

// rate is how often in a second do is done, by so many writers at once, n times in all.
func rate(t testing.TB, writers, n int, do func(context.Context) error) float64 {
	t.Helper()
	var left atomic.Int64
	left.Store(int64(n))
	var all sync.WaitGroup
	start := time.Now()
	for range writers {
		all.Go(func() {
			for left.Add(-1) >= 0 {
				if err := do(t.Context()); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	return float64(n) / time.Since(start).Seconds()
}

// syncRate is how often in a second the disk syncs a write of so many bytes at the end of a file.
func syncRate(t testing.TB, n, size int) float64 {
	t.Helper()
	f, err := os.Create(filepath.Join(place(t), "file"))
	must(t, err)
	defer f.Close()
	return rate(t, 1, n, func(context.Context) error {
		if _, err := f.Write(make([]byte, size)); err != nil {
			return err
		}
		return f.Sync()
	})
}

// cpu is what this process used until now.
func cpu() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// rss is the memory of this process in MiB.
func rss() int {
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	pages, _ := strconv.Atoi(strings.Fields(string(b))[1])
	return pages * os.Getpagesize() >> 20
}

func few(n, many int) int {
	if *large {
		return many
	}
	return n
}
