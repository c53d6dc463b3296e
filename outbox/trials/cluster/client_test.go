//go:build unix

package cluster

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fe022423/submission"
	"github.com/fe022423/submission/outbox"
)

// childOrder is where a client finds what it is to do.
const childOrder = "CLUSTER_TRIAL_CLIENT"

const (
	lease       = 2 * time.Second
	workers     = 4
	enqueuers   = 2
	triesPerKey = 1000
)

// order is what a client is to do.
type order struct {
	URL, Queue, SMTP string
	Route            string
}

func TestMain(m *testing.M) {
	if text := os.Getenv(childOrder); text != "" {
		var o order
		if err := json.Unmarshal([]byte(text), &o); err != nil {
			panic(err)
		}
		o.run()
		return
	}
	flag.Parse()
	flag.Set("test.parallel", "3") // they wait most of the time
	os.Exit(runAll(m))
}

// serverBinary is the server that all trials use.
var serverBinary string

func runAll(m *testing.M) int {
	folder, err := os.MkdirTemp("", "cluster")
	if err == nil {
		defer os.RemoveAll(folder)
		serverBinary, err = buildServer(folder)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

func say(word, text string) { os.Stdout.WriteString(word + " " + text + "\n") }

func newMailer(addr string) *submission.Client {
	c, err := submission.New(addr, &submission.Options{TLS: submission.TLSNone})
	if err != nil {
		panic(err)
	}
	return c
}

func workOptions(mailer *submission.Client) *outbox.WorkOptions {
	return &outbox.WorkOptions{
		Workers: workers, Lease: lease,
		Backoff: func(int, *submission.SendError) time.Duration { return 10 * time.Millisecond },
		Client:  func(string) (*submission.Client, error) { return mailer, nil },
	}
}

func letter(key string) (submission.Envelope, io.Reader) {
	body := "Subject: " + key + "\r\n\r\n" + strings.Repeat("0123456789\r\n", 100)
	return submission.Envelope{From: "me@example.org", To: submission.To(key + "@example.net")}, strings.NewReader(body)
}

// put queues the message of a key until it has a promise, as a program that must not lose it.
func put(ctx context.Context, ob *outbox.Outbox, key string) error {
	for try := 1; ; try++ {
		env, body := letter(key)
		_, err := ob.Enqueue(ctx, env, body, &outbox.Item{Key: key})
		if err == nil || errors.Is(err, outbox.ErrDuplicate) {
			return nil
		}
		if errors.Is(err, outbox.ErrConflict) || try == triesPerKey || ctx.Err() != nil {
			return err
		}
		say("failed", err.Error())
		time.Sleep(100 * time.Millisecond) // as such a program does
	}
}

// run queues the keys that it reads, sends what is queued, and says what happens, until it
// is killed.
func (o order) run() {
	ctx := context.Background()
	options := &outbox.Options{
		URL: o.URL, Name: o.Queue, Replicas: nodeCount,
		Logger:  slog.New(slog.NewTextHandler(os.Stderr, nil)),
		Observe: func(e outbox.Event) { say("event", string(e.Kind)) },
	}
	var ob *outbox.Outbox
	for {
		var err error
		if ob, err = outbox.Open(ctx, options); err == nil {
			break
		}
		say("failed", err.Error())
		time.Sleep(100 * time.Millisecond)
	}
	w := workOptions(newMailer(o.SMTP))
	w.OnDone = func(_ context.Context, r outbox.Record) { say("done", string(r.ID)+" "+string(r.Status)) }
	go func() { say("wrong", fmt.Sprint("Work ended: ", ob.Work(ctx, w))) }()
	keys := make(chan string)
	for range enqueuers {
		go func() {
			for key := range keys {
				if err := put(ctx, ob, key); err != nil {
					say("wrong", key+": "+err.Error())
					continue
				}
				say("promised", key)
			}
		}()
	}
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		keys <- lines.Text()
	}
	select {}
}

// client is such a process, in one life after the other.
type client struct {
	t     testing.TB
	board *board
	order order

	mu    sync.Mutex
	cmd   *exec.Cmd
	in    io.WriteCloser
	log   *bytes.Buffer
	lines int // that it logged in all its lives
	heard *sync.WaitGroup
	given []string // the keys that this life was given
}

func newClient(t testing.TB, b *board, o order) *client {
	c := &client{t: t, board: b, order: o}
	c.start()
	t.Cleanup(func() {
		c.kill()
		if t.Failed() {
			t.Logf("the log of a client ends with:\n%s", c.log.Bytes()[max(0, c.log.Len()-1500):])
		}
	})
	return c
}

func (c *client) start() {
	c.mu.Lock()
	defer c.mu.Unlock()
	text, _ := json.Marshal(c.order)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childOrder+"="+string(text))
	c.log, c.heard, c.given = &bytes.Buffer{}, &sync.WaitGroup{}, nil
	cmd.Stderr = c.log
	out, err := cmd.StdoutPipe()
	if err == nil {
		c.in, err = cmd.StdinPipe()
	}
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		c.t.Error(err)
		return
	}
	c.cmd = cmd
	c.heard.Go(func() {
		for lines := bufio.NewScanner(out); lines.Scan(); {
			c.board.hear(lines.Text())
		}
	})
}

// kill is kill -9. It returns the keys that nobody has promised.
func (c *client) kill() (left []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cmd == nil {
		return nil
	}
	c.cmd.Process.Kill()
	c.heard.Wait() // what it said before
	c.cmd.Wait()
	c.cmd = nil
	c.lines += bytes.Count(c.log.Bytes(), []byte("\n"))
	c.board.note(func() {
		for _, key := range c.given {
			if !c.board.promised[key] {
				left = append(left, key)
			}
		}
	})
	return left
}

// freeze stops a client and returns when it has stopped.
func (c *client) freeze() {
	c.mu.Lock()
	defer c.mu.Unlock()
	stop(c.cmd)
}

func (c *client) thaw() {
	c.mu.Lock()
	defer c.mu.Unlock()
	resume(c.cmd)
}

// give hands it a key to queue. It reports whether there was somebody to take it.
func (c *client) give(key string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cmd == nil {
		return false
	}
	c.given = append(c.given, key)
	_, err := io.WriteString(c.in, key+"\n")
	return err == nil
}
