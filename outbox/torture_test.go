package outbox_test

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/fe022423/submission"
	"github.com/fe022423/submission/outbox"
	"github.com/fe022423/submission/smtptest"
)

var large = flag.Bool("large", false, "the large form of the tests that kill processes")

// The child of TestKills finds here what it needs.
const (
	childDir     = "OUTBOX_TEST_DIR"
	childAddr    = "OUTBOX_TEST_ADDR"
	childTorture = "OUTBOX_TEST_TORTURE" // messages, workers, policy
	childFirst   = "OUTBOX_TEST_FIRST"   // the first message to queue
)

// torture is a run of TestKills.
type torture struct {
	messages, kills, workers int
	policy                   outbox.Policy
}

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
	var x torture
	if _, err := fmt.Sscan(os.Getenv(childTorture), &x.messages, &x.workers, &x.policy); err != nil {
		panic(err)
	}
	first, _ := strconv.Atoi(os.Getenv(childFirst))
	ob, err := outbox.Open(context.Background(), &outbox.Options{Dir: os.Getenv(childDir)})
	if err != nil {
		fmt.Println("outbox:", err)
		os.Exit(1)
	}
	go ob.Work(context.Background(), &outbox.WorkOptions{
		Workers: x.workers, Backoff: noWait, OnUncertain: x.policy,
		Client: func(string) (*submission.Client, error) { return client, nil },
	})
	for i := first; i < x.messages; i++ {
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

// TestKills kills a process that queues and sends with kill -9, again and again, towards a
// server with faults, and looks what became of the messages that it was promised: none is
// lost; with Hold none was sent twice, and at most one for each worker and kill is held,
// beside those that the server left without a verdict; with Resend each that was sent twice
// says so. The large form, -large, has 30 kills, 2,000 messages and 8 workers.
func TestKills(t *testing.T) {
	if testing.Short() {
		t.Skip("kills processes")
	}
	for name, policy := range map[string]outbox.Policy{"hold": outbox.Hold, "resend": outbox.Resend} {
		x := &torture{300, 5, 4, policy}
		if *large {
			x = &torture{2000, 30, 8, policy}
		} else if policy == outbox.Resend {
			x.messages, x.kills = 100, 2
		}
		t.Run(name, x.run)
	}
}

func (x *torture) run(t *testing.T) {
	start := time.Now()
	faults := &faultyServer{}
	srv := smtptest.NewServer(&smtptest.Config{Hook: faults.hook})
	defer srv.Close()
	dir := filepath.Join(t.TempDir(), "queue")
	promised := map[string]bool{}
	for life := range x.kills { // each gets a little further
		reached := func() bool { return len(srv.Messages()) >= (life+1)*x.messages/(x.kills+2) }
		for key := range x.lifeOfAChild(t, dir, srv.Addr(), len(promised), reached) {
			promised[key] = true
		}
	}
	faults.end()
	ob := open(t, func(o *outbox.Options) { o.Dir = dir })
	for i := range x.messages { // who had no promise asks again
		key := fmt.Sprint("key ", i)
		_, err := ob.Enqueue(deadline(t), tortureEnvelope(key), text(key), &outbox.Item{Key: key})
		if promised[key] && !errors.Is(err, outbox.ErrDuplicate) {
			t.Errorf("%s was promised, and is gone: %v", key, err)
		} else if err != nil && !errors.Is(err, outbox.ErrDuplicate) {
			t.Fatal(err)
		}
	}
	w := work(t, ob, srv, func(w *outbox.WorkOptions) {
		w.Workers, w.OnUncertain, w.OnDone = x.workers, x.policy, nil
	})
	over := func(s outbox.Stats) int { return s.Counts[outbox.Sent] + s.Counts[outbox.Held] }
	var s outbox.Stats
	for limit := deadline(t); over(s) < x.messages; {
		var err error
		if s, err = ob.Stats(limit); err != nil {
			t.Fatal(err, s)
		}
	}
	w.stop()
	sent := faults.accepted()
	for _, m := range srv.Messages() {
		sent[m.To[0]]++
	}
	held, twice, resent, lost := 0, 0, 0, x.messages
	for r, err := range ob.List(deadline(t), outbox.Filter{}) {
		n := sent[r.Recipients[0].Addr]
		if err != nil || n > 1+r.Uncertain || r.Status == outbox.Sent && n < 1 || x.policy == outbox.Hold && r.Uncertain > 0 {
			t.Errorf("%+v was sent %d times, %v", r, n, err)
		}
		if n > 1 {
			twice++
		}
		if r.Status == outbox.Held {
			held++
		}
		if r.Status == outbox.Held || n > 0 {
			lost--
		}
		resent += r.Uncertain
	}
	cuts := faults.silent()
	if len(s.Counts) > 2 || lost != 0 || held > x.kills*x.workers+cuts || x.policy == outbox.Hold && twice > 0 || x.policy == outbox.Resend && held > 0 {
		t.Errorf("%+v, lost %d, held %d, twice %d", s, lost, held, twice)
	}
	t.Logf("queued %d | sent %d | held %d | resent %d | twice %d | lost %d | kills %d | workers %d | no verdict by the server %d | %.0f s",
		x.messages, s.Counts[outbox.Sent], held, resent, twice, lost, x.kills, x.workers, cuts, time.Since(start).Seconds())
}

// lifeOfAChild starts a child, kills it when reached says so, and returns the keys that it was
// promised.
func (x *torture) lifeOfAChild(t *testing.T, dir, addr string, first int, reached func() bool) map[string]bool {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childDir+"="+dir, childAddr+"="+addr, childFirst+"="+fmt.Sprint(first),
		childTorture+"="+fmt.Sprint(x.messages, x.workers, uint8(x.policy)))
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	limit := deadline(t)
	for !reached() && limit.Err() == nil {
		<-tick.C
	}
	cmd.Process.Kill()
	if limit.Err() != nil {
		t.Error("a child did not get on")
	}
	keys := map[string]bool{}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if key := lines.Text(); strings.HasPrefix(key, "key ") {
			keys[key] = true
		} else {
			t.Log(key)
		}
	}
	cmd.Wait()
	return keys
}
