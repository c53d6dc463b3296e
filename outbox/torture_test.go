package outbox_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fe022423/submission"
	"github.com/fe022423/submission/outbox"
	"github.com/fe022423/submission/smtptest"
)

// The child of TestKills finds here what it needs.
const (
	childDir  = "OUTBOX_TEST_DIR"
	childAddr = "OUTBOX_TEST_ADDR"
)

const (
	tortureMessages = 300
	tortureKills    = 5
	tortureWorkers  = 4
)

func TestMain(m *testing.M) {
	if os.Getenv(childDir) != "" {
		child()
		return
	}
	os.Exit(m.Run())
}

// child queues all messages, and sends, until it is killed. It says each message that it has
// been promised.
func child() {
	client, err := submission.New(os.Getenv(childAddr), &submission.Options{TLS: submission.TLSNone})
	if err != nil {
		panic(err)
	}
	ob, err := outbox.Open(context.Background(), &outbox.Options{Dir: os.Getenv(childDir)})
	if err != nil {
		panic(err)
	}
	go ob.Work(context.Background(), &outbox.WorkOptions{
		Workers: tortureWorkers, Backoff: noWait,
		Client: func(string) (*submission.Client, error) { return client, nil },
	})
	for i := range tortureMessages {
		key := fmt.Sprint("key ", i)
		_, err := ob.Enqueue(context.Background(), tortureEnvelope(key), text(key), &outbox.Item{Key: key})
		if err == nil || errors.Is(err, outbox.ErrDuplicate) {
			fmt.Println(key)
		}
	}
	select {}
}

func tortureEnvelope(key string) submission.Envelope {
	return envelope(strings.ReplaceAll(key, " ", "") + "@example.net")
}

// TestKills kills a process that queues and sends with kill -9, again and again, and looks
// what became of the messages that it was promised: none is lost, none was sent twice, and at
// most one for each worker and kill is held.
func TestKills(t *testing.T) {
	if testing.Short() {
		t.Skip("kills processes")
	}
	srv := smtptest.New(t, nil)
	dir := filepath.Join(t.TempDir(), "queue")
	promised := map[string]bool{}
	for life := range tortureKills { // each gets a little further
		for key := range lifeOfAChild(t, dir, srv, (life+1)*tortureMessages/(tortureKills+2)) {
			promised[key] = true
		}
	}

	ob := open(t, func(o *outbox.Options) { o.Dir = dir })
	for i := range tortureMessages { // who had no promise asks again
		key := fmt.Sprint("key ", i)
		if promised[key] {
			if _, err := ob.Enqueue(deadline(t), tortureEnvelope(key), text(key), &outbox.Item{Key: key}); !errors.Is(err, outbox.ErrDuplicate) {
				t.Errorf("%s was promised, and is gone: %v", key, err)
			}
		} else if _, err := ob.Enqueue(deadline(t), tortureEnvelope(key), text(key), &outbox.Item{Key: key}); err != nil && !errors.Is(err, outbox.ErrDuplicate) {
			t.Fatal(err)
		}
	}
	w := work(t, ob, srv, nil)
	over := func(s outbox.Stats) int { return s.Counts[outbox.Sent] + s.Counts[outbox.Held] }
	var s outbox.Stats
	for limit := deadline(t); over(s) < tortureMessages; {
		var err error
		if s, err = ob.Stats(limit); err != nil {
			t.Fatal(err, s)
		}
	}
	w.stop()
	sent := map[string]int{}
	for _, m := range srv.Messages() {
		sent[m.To[0]]++
	}
	held := 0
	for r, err := range ob.List(deadline(t), outbox.Filter{}) {
		n := sent[r.Recipients[0].Addr]
		if err != nil || n > 1 || r.Status == outbox.Sent && n != 1 {
			t.Errorf("%+v was sent %d times, %v", r, n, err)
		}
		if r.Status == outbox.Held {
			held++
		}
	}
	if len(s.Counts) > 2 || over(s) != tortureMessages || held > tortureKills*tortureWorkers {
		t.Errorf("%+v", s)
	}
	t.Logf("%d messages, %d kills, %d held, %d sent, %d accepted", tortureMessages, tortureKills, held, s.Counts[outbox.Sent], len(srv.Messages()))
}

// lifeOfAChild starts a child, kills it when the server has n messages in all, and returns
// the keys that it was promised.
func lifeOfAChild(t *testing.T, dir string, srv *smtptest.Server, n int) map[string]bool {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childDir+"="+dir, childAddr+"="+srv.Addr())
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	_, err = srv.Wait(deadline(t), n)
	cmd.Process.Kill()
	if err != nil {
		t.Error(err)
	}
	keys := map[string]bool{}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if key := lines.Text(); strings.HasPrefix(key, "key ") {
			keys[key] = true
		}
	}
	cmd.Wait()
	return keys
}
