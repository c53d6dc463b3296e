package submission_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fe022423/submission"
	"github.com/fe022423/submission/smtptest"
)

// flights is a run of a fuzz input: a Session or a Client that sends messages to a
// flightServer.
type flights struct {
	srv      *flightServer
	options  *submission.Options
	client   bool // a Client with a pool, else a Session
	prepare  bool // Prepare and Commit instead of Send
	partial  bool
	opaque   bool // connections cannot be asked
	rcpts    int
	messages int
	size     int           // of a message, its marks not counted
	pause    time.Duration // between messages
	patience time.Duration // of the context; 0 has no end
	fault    smtptest.Fault

	mu    sync.Mutex
	conns []*sniffed
	last  submission.Reply // heard last
}

// flightsOf reads the parameters of a run from the first octets of an input. The rest
// are decisions of the server.
func flightsOf(in []byte) *flights {
	var head [8]byte
	n := copy(head[:], in)
	bit := func(i int) bool { return head[i/8]>>(i%8)&1 == 1 }
	f := &flights{client: bit(0), partial: bit(1), prepare: bit(2), opaque: bit(3)}
	f.srv = &flightServer{decide: &decisions{list: in[n:]}}
	f.srv.pipelining, f.srv.chunking, f.srv.codes = bit(4), bit(5), bit(6)
	f.options = plainText()
	f.options.EarlyData = bit(7)
	f.options.Pool.MaxSessions = 1 + int(head[1]&1)
	f.rcpts = 1 + int(head[1]>>1&3)
	f.messages = 1 + int(head[1]>>3&3)
	f.size = []int{0, 30, 30, 2000, 20000, 70000, 130000, 1}[head[1]>>5]
	f.options.ChunkSize = []int{1 << 20, 16, 100, 50000}[head[2]&3]
	if f.size > 1000 {
		f.options.ChunkSize = max(f.options.ChunkSize, 10000)
	}
	if head[2]>>2&1 == 1 {
		f.srv.latency = 20 * time.Millisecond
	}
	f.pause = []time.Duration{0, 0, 10 * time.Millisecond, 2 * time.Second}[head[2]>>3&3]
	f.patience = []time.Duration{0, 0, 0, 30 * time.Millisecond}[head[2]>>5&3]
	at := smtptest.After(int64(head[4])<<8&0x7ff | int64(head[5]))
	switch head[3] % 8 {
	case 1:
		f.fault = smtptest.Fault{Read: at}
	case 2:
		f.fault = smtptest.Fault{Write: at}
	case 3:
		f.fault = smtptest.Fault{Write: at, Mode: smtptest.FalseError}
	case 4:
		f.fault = smtptest.Fault{Write: at, Mode: smtptest.Stall}
	}
	f.options.Trace = &submission.Trace{Received: func(_ context.Context, _ submission.SessionInfo, r submission.Reply) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.last = r
	}}
	f.options.Dialer = dialFunc(func(context.Context, string, string) (net.Conn, error) { return f.dial(), nil })
	return f
}

// sniffed is a connection that knows when the last octets of a message were written,
// and whether something unasked waited then.
type sniffed struct {
	net.Conn
	f      *flights
	server *flightConn
	opaque bool

	mu      sync.Mutex
	out     strings.Builder
	waiting bool // when the write began that carries a mark of an end
	early   bool // that write was one with the envelope
}

func (f *flights) dial() net.Conn {
	nc, server := f.srv.connect(f.opaque)
	w := &sniffed{Conn: f.fault.Wrap(nc), f: f, server: server, opaque: f.opaque}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.conns = append(f.conns, w)
	return w
}

func (w *sniffed) Write(p []byte) (int, error) {
	w.mu.Lock()
	before := w.ends()
	w.out.Write(p)
	if w.ends() > before {
		w.waiting = w.server.surplus()
		w.early = strings.Contains(string(p), "MAIL FROM")
	}
	w.mu.Unlock()
	return w.Conn.Write(p)
}

// bdatLine is what stands between the octets of a message that goes out in chunks.
var bdatLine = regexp.MustCompile(`BDAT \d+( LAST)?\r\n`)

// content is what was written, without the lines of chunks. It needs mu.
func (w *sniffed) content() string { return bdatLine.ReplaceAllString(w.out.String(), "") }

// ends counts the messages that were written to their end. It needs mu.
func (w *sniffed) ends() int { return strings.Count(w.content(), endMark) }

func (w *sniffed) InputWaiting() (waiting, known bool) {
	return w.Conn.(interface{ InputWaiting() (waiting, known bool) }).InputWaiting()
}

// committed reports whether the write that carries the last octet of a message began.
func (f *flights) committed(end string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, w := range f.conns {
		w.mu.Lock()
		found := strings.Contains(w.content(), end)
		w.mu.Unlock()
		if found {
			return true
		}
	}
	return false
}

// nobodyCanKnow reports whether a reply too many or too few made what the client saw
// the same as what it sees of a server that is in order. The client looks before it
// writes the last octets and, where they share a flight with the envelope, after the
// replies to that. A reply that was not there at any look, and that carries no
// enhanced code which shows that it is not about the message, nobody can know. After
// a 354 such a code shows nothing: servers refuse recipients at the end of DATA, too.
// And a 421 after the last reply is what a server in order may say at any time.
func (f *flights) nobodyCanKnow(begin string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.srv.codes && f.srv.chunking && f.last.Enhanced[1] == 1 {
		return false
	}
	for _, w := range f.conns {
		w.mu.Lock()
		sent := strings.Contains(w.content(), begin)
		seen := w.waiting || w.early && w.server.surplus() && f.last.Code != 421 && f.last.Code != 221
		w.mu.Unlock()
		if w.server.meddled.Load() && sent && !seen {
			return true
		}
	}
	return false
}

// marks are the first and the last line of message n. The last one ends in endMark.
func marks(n int) (begin, end string) {
	return fmt.Sprintf("message %d begins", n), fmt.Sprintf("message %d"+endMark, n)
}

const endMark = " is over\r\n"

func (f *flights) run(t *testing.T) {
	ctx := context.Background()
	var s *submission.Session
	var c *submission.Client
	var err error
	if f.client {
		c, err = submission.New("localhost", f.options)
	} else {
		s, err = submission.NewSession(ctx, f.dial(), "localhost", f.options)
	}
	if err == nil {
		for n := range f.messages {
			if s != nil && !s.Usable() {
				break
			}
			f.send(t, s, c, n)
			time.Sleep(f.pause)
		}
		if s != nil {
			s.Close()
		} else {
			c.Close()
		}
	}
	for _, w := range f.conns {
		w.Close()
		w.server.in.end()
	}
	f.srv.sessions.Wait()
	time.Sleep(time.Second) // for what the server says late
}

// begins is what a Session and a Client have in common.
type begins interface {
	Begin(context.Context, submission.Envelope) (*submission.Transaction, error)
}

// send sends message n, and holds what the client says of it against what the server
// knows.
func (f *flights) send(t *testing.T, s *submission.Session, c *submission.Client, n int) {
	env := submission.Envelope{From: "a@test.example", Partial: f.partial}
	for i := range f.rcpts {
		env.To = append(env.To, submission.Recipient{Addr: fmt.Sprintf("r%d@test.example", i)})
	}
	begin, end := marks(n)
	text := begin + "\r\n" + strings.Repeat("0123456789abcdef0123456789abcdef0123456789\r\n", f.size/44) + end
	ctx, cancel := context.Background(), func() {}
	if f.patience > 0 {
		ctx, cancel = context.WithTimeout(ctx, f.patience)
	}
	defer cancel()
	var by begins = c
	if s != nil {
		by = s
	}
	var res *submission.Result
	var err error
	switch {
	case f.prepare:
		res, err = f.prepared(t, ctx, by, env, text, begin)
	case s != nil:
		res, err = s.Send(ctx, env, strings.NewReader(text))
	default:
		res, err = c.Send(ctx, env, strings.NewReader(text))
	}
	unknowable := f.nobodyCanKnow(begin)
	accepted := f.srv.acceptedFor(begin)
	f.judge(t, n, res, err, accepted, end, unknowable)
}

// prepared sends with Prepare and Commit. Between the two nothing was accepted.
func (f *flights) prepared(t *testing.T, ctx context.Context, by begins, env submission.Envelope, text, mark string) (*submission.Result, error) {
	tx, err := by.Begin(ctx, env)
	if err != nil {
		return nil, err
	}
	defer tx.Abort()
	if _, err := tx.ReadFrom(strings.NewReader(text)); err != nil {
		return nil, err
	}
	if err := tx.Prepare(); err != nil {
		return nil, err
	}
	if len(f.srv.acceptedFor(mark)) > 0 {
		t.Error("accepted between Prepare and Commit")
	}
	return tx.Commit()
}

// judge holds the result of message n against what was accepted.
func (f *flights) judge(t *testing.T, n int, res *submission.Result, err error, accepted map[string]int, end string, unknowable bool) {
	wrong := func(format string, args ...any) {
		t.Helper()
		if !unknowable {
			t.Errorf("message %d: "+format+"\nerror %v\naccepted for %v\n%s", append(append([]any{n}, args...), err, accepted, f.conversation())...)
		}
	}
	var e *submission.SendError
	var list []submission.RecipientResult
	if err == nil {
		list = res.Recipients
	} else if errors.As(err, &e) {
		list = e.Recipients
		checkErrorText(t, err)
	} else {
		t.Fatalf("a %T: %v", err, err)
	}
	if len(list) != f.rcpts {
		t.Errorf("%d recipients, want %d", len(list), f.rcpts)
	}
	for i, r := range list {
		times := accepted[fmt.Sprintf("r%d@test.example", i)]
		switch {
		case times > 1:
			wrong("accepted %d times for %s", times, r.Addr)
		case r.Status == submission.RecipientSent && times == 0:
			wrong("%s counts as sent", r.Addr)
		case r.Status != submission.RecipientSent && r.Status != submission.RecipientUncertain && times > 0:
			wrong("%s counts as %v", r.Addr, r.Status)
		case r.Status != submission.RecipientSent && err == nil:
			wrong("success, but %s counts as %v", r.Addr, r.Status)
		}
	}
	if e != nil && e.Outcome == submission.Unknown && !f.committed(end) {
		wrong("unknown before the last octet")
	}
	if e != nil && e.Outcome == submission.Unknown && e.Temporary() {
		wrong("unknown, and temporary")
	}
}

// conversation is what was written on each connection, for reports.
func (f *flights) conversation() string {
	var b strings.Builder
	for i, w := range f.conns {
		w.mu.Lock()
		out := w.out.String()
		w.mu.Unlock()
		fmt.Fprintf(&b, "connection %d: %.2000q\n", i, out)
	}
	fmt.Fprintf(&b, "heard last: %v\n%+v\n", f.last, f.srv.offer)
	return b.String()
}

// FuzzFlights: whatever a server decides and however its replies and the connection
// fail, what the client says of a message is what became of it. Sent: the server
// accepted it. NotSent: it did not. Unknown: the last octet was on its way. Never does
// one Send make a server accept a message twice.
func FuzzFlights(f *testing.F) {
	for mode := range 256 {
		f.Add([]byte{byte(mode), byte(mode * 37), byte(mode * 11)})
	}
	// One decision of each kind at each of the first commands, in some modes.
	for _, mode := range []byte{0x10, 0x12, 0x30, 0x32, 0xb0, 0xb2, 0xf3, 0xf2, 0xb3, 0x31, 0x11, 0x71, 0x04, 0x34, 0xba} {
		for what := range 31 {
			for at := range 5 {
				d := byte(what)
				if what >= 16 {
					d = byte(what-15) << 4 // something is meddled with
				}
				f.Add(append([]byte{mode, 0x2a, 0x04, 0, 0, 0, 0, 0}, append(make([]byte, at), d)...))
			}
		}
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		if len(in) > 200 {
			return
		}
		synctest.Test(t, func(t *testing.T) { flightsOf(in).run(t) })
	})
}
