package submission_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fe022423/submission"
)

// records is a slog.Handler that writes records down, with who the context names.
type records struct {
	mu    sync.Mutex
	least slog.Level
	lines []string
	asked int // how often it was asked whether Debug is enabled
}

func (h *records) Enabled(_ context.Context, l slog.Level) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if l == slog.LevelDebug {
		h.asked++
	}
	return l >= h.least
}

func (h *records) Handle(ctx context.Context, r slog.Record) error {
	who, _ := ctx.Value(callerKey{}).(string)
	line := fmt.Sprintf("%s %v %s", who, r.Level, r.Message)
	r.Attrs(func(a slog.Attr) bool {
		line += fmt.Sprintf(" %s=%v", a.Key, a.Value)
		return true
	})
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lines = append(h.lines, line)
	return nil
}

func (h *records) WithAttrs([]slog.Attr) slog.Handler { return h }
func (h *records) WithGroup(string) slog.Handler      { return h }

// check holds the records since the last check against want. In it @ is the number of the
// session.
func (h *records) check(t *testing.T, session uint64, want string) {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	want = strings.ReplaceAll(strings.TrimSpace(want), "\t", "")
	want = strings.ReplaceAll(want, " @ ", fmt.Sprintf(" session=%d server=mail.test.example:25 ", session))
	if got := strings.Join(h.lines, "\n"); got != want {
		t.Errorf("logged is\n%s\nwant\n%s", got, want)
	}
	h.lines = nil
}

// The Logger gets the lines at Debug and, once for each message, its end: "sent" at Info,
// "not sent" at Warn, whatever of it was sent. Each record has the context of the call, the
// number of the session and the server.
func TestLogger(t *testing.T) {
	var last uint64
	logged := func(h *records) func(*habitServer, *submission.Options) {
		return func(srv *habitServer, o *submission.Options) {
			srv.keywords = []string{"PIPELINING"}
			o.Logger = slog.New(h)
			o.Trace = &submission.Trace{DialDone: func(_ context.Context, s submission.SessionInfo, _ error) { last = s.ID }}
		}
	}
	lines := &records{least: slog.LevelDebug}
	tell(t, "Debug", logged(lines), func(t *testing.T, a *tale) {
		a.srv.habit = slowAt("CONNECT MESSAGE")
		a.send("ann", 0)
		a.Close()
		lines.check(t, last, `
			ann DEBUG smtp received @ code=220 reply=220 mail.test.example
			ann DEBUG smtp sent @ line=EHLO client.test.example
			ann DEBUG smtp received @ code=250 reply=250 mail.test.example; PIPELINING; HELP
			ann DEBUG smtp sent @ line=MAIL FROM:<a@test.example>
			ann DEBUG smtp sent @ line=RCPT TO:<b@test.example>
			ann DEBUG smtp sent @ line=DATA
			ann DEBUG smtp received @ code=250 reply=250 sender ok
			ann DEBUG smtp received @ code=250 reply=250 recipient ok
			ann DEBUG smtp received @ code=354 reply=354 go
			ann DEBUG smtp received @ code=250 reply=250 taken
			ann INFO sent @ duration=2s recipients=1 bytes=20 attempts=1 reply=250 taken
			 DEBUG smtp sent @ line=QUIT
			 DEBUG smtp received @ code=221 reply=221 bye`)
	})
	ends := &records{least: slog.LevelInfo}
	tell(t, "Info", logged(ends), func(t *testing.T, a *tale) {
		a.srv.habit = func(s *habitSession, verb, line string) *habitAnswer {
			switch {
			case verb == "RCPT" && strings.Contains(line, "<c@"):
				return &habitAnswer{reply: "550 no"}
			case verb == "MESSAGE" && s.accepted == 2:
				return &habitAnswer{reply: "what", delay: time.Minute}
			}
			return slowAt("CONNECT MESSAGE")(s, verb, line)
		}
		ctx := as("ann")
		a.send("ann", 0)
		a.Send(ctx, memoTo("c@test.example"), strings.NewReader(memo))
		env := memoTo("b@test.example", "c@test.example")
		env.Partial = true
		a.Send(ctx, env, strings.NewReader(memo))
		a.send("ann", 1)
		ends.check(t, last, `
			ann INFO sent @ duration=2s recipients=1 bytes=20 attempts=1 reply=250 taken
			ann WARN not sent @ outcome=not sent stage=RCPT duration=0s recipients=1 bytes=23 attempts=1 error=submission: RCPT: not sent: recipient c@test.example refused: server says 550 no
			ann WARN not sent @ outcome=partly sent stage=RCPT duration=1s recipients=2 bytes=23 attempts=1 error=submission: RCPT: partly sent: recipient c@test.example refused: server says 550 no
			ann WARN not sent @ outcome=outcome unknown stage=final reply duration=1m0s recipients=1 bytes=20 attempts=1 error=submission: final reply: outcome unknown: not an SMTP reply: what`)
		a.Send(ctx, submission.Envelope{}, strings.NewReader(memo))
		a.Ping(ctx)
		tx, err := a.Begin(ctx, memoTo("b@test.example"))
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		tx.Abort()
		ends.check(t, 0, `
			ann WARN not sent @ outcome=not sent stage=MAIL duration=0s recipients=0 bytes=0 attempts=0 error=submission: MAIL: not sent: sender: no sender: set Envelope.From or Options.From
			ann WARN not sent @ outcome=not sent stage=message duration=1s recipients=1 bytes=0 attempts=0 error=submission: message: not sent: transaction aborted`)
	})
	none := &records{least: slog.LevelError}
	tell(t, "Error", logged(none), func(t *testing.T, a *tale) {
		a.send("ann", 0)
		if none.lines != nil || none.asked > 1 {
			t.Errorf("logged is %q; it was asked %d times about Debug for one call", none.lines, none.asked)
		}
	})
}

// sinkAllocations counts what a message to some recipients allocates over a session of the
// pool that is warm. The server is in this process, and allocates nothing.
func sinkAllocations(t *testing.T, ctx context.Context, recipients int, set func(*submission.Options)) float64 {
	o := plainText(func(o *submission.Options) {
		o.Dialer = dialFunc(func(context.Context, string, string) (net.Conn, error) {
			near, far := socketPair(t)
			go sink{}.serve(far)
			return near, nil
		})
	})
	if set != nil {
		set(o)
	}
	c, err := submission.New(testHost, o)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	env, r, text := letters(recipients), new(bytes.Reader), lines(4<<10)
	return testing.AllocsPerRun(200, func() {
		r.Reset(text)
		if _, err := c.Send(ctx, env, r); err != nil {
			t.Fatal(err)
		}
	})
}

// raced reports whether the race detector runs, under which pools forget.
func raced() bool {
	info, ok := debug.ReadBuildInfo()
	return ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}

// Nobody who looks on costs nothing, and a Trace without hooks the context of the call. A Logger
// that does not want the lines costs no text for each of them, and so does a Trace that
// only wants to know the end.
func TestWatchAllocations(t *testing.T) {
	if raced() {
		t.Skip("pools forget")
	}
	const bare = 4 // BenchmarkGoalAllocations has the same limit
	plain := context.WithValue(context.Background(), callerKey{}, "ann")
	for name, tt := range map[string]struct {
		set   func(*submission.Options)
		trace *submission.Trace
		most  float64
	}{
		"nobody":                {nil, nil, bare},
		"a Trace without hooks": {func(o *submission.Options) { o.Trace = &submission.Trace{} }, nil, bare + 2},
		"one in the context":    {nil, &submission.Trace{}, bare + 2},
		"Trace.Done": {func(o *submission.Options) {
			o.Trace = &submission.Trace{Done: func(context.Context, submission.SendInfo) {}}
		}, nil, bare + 3},
		"a Logger at Error": {func(o *submission.Options) {
			o.Logger = slog.New(slog.NewTextHandler(io.Discard, &slog.HandlerOptions{Level: slog.LevelError}))
		}, nil, bare + 3},
	} {
		ctx := submission.WithTrace(plain, tt.trace)
		for _, recipients := range []int{1, 50} {
			more := 0.0
			if recipients > 1 {
				more = 2 // the list of results, and of replies
			}
			if got := sinkAllocations(t, ctx, recipients, tt.set); got > tt.most+more {
				t.Errorf("%s: %v allocations for %d recipients, want %v at most", name, got, recipients, tt.most+more)
			} else {
				t.Logf("%s: %v allocations for %d recipients", name, got, recipients)
			}
		}
	}
}
