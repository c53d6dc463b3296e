package submission_test

// What client.go promises, in the order of client.go. The subtests run in a bubble of
// testing/synctest, over pipes, so that they can say exactly what is written and when.

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fe022423/submission"
	"github.com/fe022423/submission/smtptest"
)

// A Client is safe for concurrent use: fifty goroutines share one.
func TestManyGoroutines(t *testing.T) {
	srv := smtptest.NewServer(&smtptest.Config{TLS: smtptest.NoTLS})
	defer srv.Close()
	o := plainText()
	o.Pool = submission.PoolOptions{MaxIdle: 10, MaxMessages: 1000} // no session is closed before the end
	c, err := submission.New(srv.Addr(), o)
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	const goroutines, each = 50, 4
	for g := range goroutines {
		group.Go(func() {
			for i := range each {
				to := fmt.Sprintf("to-%d-%d@test.example", g, i)
				text := "Subject: " + to + "\n\n" + strings.Repeat("x", g*2000) + "\n"
				if _, err := c.Send(context.Background(), memoTo(to), strings.NewReader(text)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	c.Close()
	seen := map[string]bool{}
	for _, m := range srv.Messages() {
		if len(m.To) != 1 || !bytes.HasPrefix(m.Data, []byte("Subject: "+m.To[0]+"\r\n")) {
			t.Errorf("message to %v begins %.60q", m.To, m.Data)
		}
		seen[strings.Join(m.To, " ")] = true
	}
	if len(seen) != goroutines*each {
		t.Errorf("%d messages arrived, want %d", len(seen), goroutines*each)
	}
	if n := srv.Sessions(); n > 10 {
		t.Errorf("%d sessions, the pool allows 10", n)
	}
}

// New does no I/O. It copies the options, and nil options are the defaults.
func TestNew(t *testing.T) {
	o := plainText()
	dials := 0
	o.Dialer = dialFunc(func(context.Context, string, string) (net.Conn, error) {
		dials++
		return nil, errors.New("the dialer of New")
	})
	c, err := submission.New(testHost, o)
	if err != nil || dials != 0 {
		t.Fatalf("New returns %v and dials %d times", err, dials)
	}
	defer c.Close()
	o.Dialer = dialFunc(func(context.Context, string, string) (net.Conn, error) {
		return nil, errors.New("another dialer")
	})
	if err := c.Ping(context.Background()); err == nil || !strings.Contains(err.Error(), "the dialer of New") {
		t.Errorf("a change of the options after New changed the Client: %v", err)
	}

	srv := serve(t, &smtptest.Config{TLS: smtptest.NoTLS})
	c, err = submission.New(srv.Addr(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	err = c.Ping(context.Background())
	if e := wantError[*submission.ConnectError](t, err); e.Stage != submission.StageStartTLS || !errors.Is(err, submission.ErrUnsupported) {
		t.Errorf("TLS is not required by default: %v", err)
	}
}

// The address of New, and its port if there is none.
func TestDefaultPortsAndAddresses(t *testing.T) {
	tests := []struct {
		addr string
		mode submission.TLSMode
		want string
	}{
		{"mail.test.example", submission.TLSAuto, "mail.test.example:587"},
		{"mail.test.example", submission.TLSImplicit, "mail.test.example:465"},
		{"mail.test.example", submission.TLSStartTLS, "mail.test.example:587"},
		{"mail.test.example", submission.TLSOpportunistic, "mail.test.example:587"},
		{"mail.test.example", submission.TLSNone, "mail.test.example:25"},
		{"mail.test.example:2525", submission.TLSNone, "mail.test.example:2525"},
		{"192.0.2.1", submission.TLSAuto, "192.0.2.1:587"},
		{"192.0.2.1:465", submission.TLSAuto, "192.0.2.1:465"},
		{"2001:db8::1", submission.TLSAuto, "[2001:db8::1]:587"},
		{"[2001:db8::1]", submission.TLSNone, "[2001:db8::1]:25"},
		{"[2001:db8::1]:26", submission.TLSNone, "[2001:db8::1]:26"},
		{"тест.example", submission.TLSAuto, "xn--e1aybc.example:587"},
		{"тест.example:26", submission.TLSAuto, "xn--e1aybc.example:26"},
		{"mail_1.internal", submission.TLSAuto, "mail_1.internal:587"},
		{"localhost", submission.TLSAuto, "localhost:587"},
	}
	stop := errors.New("no need to dial")
	for _, tt := range tests {
		t.Run(tt.addr+" "+tt.mode.String(), func(t *testing.T) {
			dialed := ""
			c, err := submission.New(tt.addr, &submission.Options{TLS: tt.mode, Dialer: dialFunc(
				func(_ context.Context, _, addr string) (net.Conn, error) {
					dialed = addr
					return nil, stop
				})})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			err = c.Ping(context.Background())
			if e := wantError[*submission.ConnectError](t, err); e.Addr != tt.want || e.Stage != submission.StageDial || !errors.Is(err, stop) {
				t.Errorf("%v", err)
			}
			if dialed != tt.want {
				t.Errorf("dials %s, want %s", dialed, tt.want)
			}
		})
	}
}

// Addresses that New refuses.
func TestAddressRefused(t *testing.T) {
	for _, addr := range []string{
		"", ":587", "host:", "host:0", "host:65536", "host:-1", "host:smtp", "host:25:25", "[2001:db8::1", "[192.0.2.1]",
		"[]:25", "a b", "host\r\n:25", "host:25\r\n", "host\x00", "user@host", "host/path", "smtp://host:25", "ho%st",
		strings.Repeat("a", 256), "a\xffb", "fe80::1%a\r\nb", "[fe80::1%\n]:25", "fe80::1%\x00",
	} {
		if _, err := submission.New(addr, nil); err == nil {
			t.Errorf("New accepts %q", addr)
		} else if e := wantError[*submission.OptionError](t, err); e.Option != "addr" {
			t.Errorf("%q: option %s", addr, e.Option)
		}
	}
}

// Send returns a Result when the server accepted the message for everyone. Otherwise the
// error is a SendError that says what became of the message.
func TestClientSend(t *testing.T) {
	promise(t, "success", func(t *testing.T) {
		c := observe(t, smtptest.Config{})
		res, err := c.Send(context.Background(), memoTo("b@test.example", "c@test.example"), strings.NewReader("a\nb\rc\r\nd"))
		verdict{sent: true, status: []submission.RecipientStatus{submission.RecipientSent, submission.RecipientSent}, codes: []int{250, 250}}.check(t, res, err)
		const arrives = "a\r\nb\r\nc\r\nd\r\n"
		if res.Reply.Code != 250 || res.Bytes != int64(len(arrives)) {
			t.Errorf("the result is %+v", res)
		}
		if m := c.srv.Messages(); len(m) != 1 || string(m[0].Data) != arrives {
			t.Errorf("the server has %+v", m)
		}
	})
	promise(t, "the session is used again", func(t *testing.T) {
		c := observe(t, smtptest.Config{})
		for range 3 {
			if _, err := c.send(); err != nil {
				t.Fatal(err)
			}
		}
		c.want(t, 1, 3)
	})
	promise(t, "a recipient is refused", func(t *testing.T) {
		for _, partial := range []bool{false, true} {
			c := observe(t, smtptest.Config{Hook: refusing("c@test.example", "550 5.1.1 no such user")})
			env := memoTo("b@test.example", "c@test.example")
			env.Partial = partial
			res, err := c.Send(context.Background(), env, strings.NewReader(memo))
			v := verdict{stage: submission.StageRcpt, code: 550, status: []submission.RecipientStatus{submission.RecipientUnsent, submission.RecipientInvalid}}
			if partial {
				v.outcome, v.status[0] = submission.PartlySent, submission.RecipientSent
			}
			v.check(t, res, err)
		}
	})
	promise(t, "every error is a SendError", func(t *testing.T) {
		stop := errors.New("no way to the server")
		c := observe(t, smtptest.Config{}, func(o *submission.Options) {
			o.Dialer = dialFunc(func(context.Context, string, string) (net.Conn, error) { return nil, stop })
		})
		_, err := c.send()
		verdict{stage: submission.StageDial, is: stop, temporary: true}.check(t, nil, err)
		_, err = c.Send(context.Background(), submission.Envelope{}, strings.NewReader(memo))
		wantError[*submission.SenderError](t, err)
		verdict{stage: submission.StageMail}.check(t, nil, err)
		_, err = c.Send(context.Background(), submission.Envelope{From: "a@test.example"}, strings.NewReader(memo))
		verdict{stage: submission.StageRcpt, is: submission.ErrNoRecipients}.check(t, nil, err)
	})
	promise(t, "64 KiB are read before a session is taken", func(t *testing.T) {
		for text, dials := range map[string]int{heldBack: 0, heldBack + "x": 1} {
			c := observe(t, smtptest.Config{})
			_, err := c.Send(context.Background(), memoTo("b@test.example"), io.MultiReader(strings.NewReader(text), readFunc(func([]byte) (int, error) {
				c.want(t, dials, 0)
				return 0, io.EOF
			})))
			if err != nil {
				t.Error(err)
			}
			c.want(t, 1, 1)
		}
	})
	promise(t, "a session that the server has closed", func(t *testing.T) {
		c := observe(t, smtptest.Config{Hook: endAfterFirst})
		for range 2 {
			if _, err := c.send(); err != nil {
				t.Error(err)
			}
		}
		c.want(t, 2, 2)
	})
	promise(t, "the source fails", func(t *testing.T) {
		for _, text := range []string{memo, long} {
			c := observe(t, smtptest.Config{}, oneSession)
			cause := errors.New("the disk is gone")
			_, err := c.Send(context.Background(), memoTo("b@test.example"), &failing{text: text, err: cause})
			verdict{stage: submission.StageMessage, is: cause}.check(t, nil, err)
			if endMarks([]byte(c.written())) != 0 {
				t.Error("the end of the message was sent")
			}
			if _, err := c.send(); err != nil {
				t.Errorf("the next message: %v", err)
			}
		}
	})
	promise(t, "the context is done", func(t *testing.T) {
		c := observe(t, smtptest.Config{})
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		_, err := c.Send(ctx, memoTo("b@test.example"), io.MultiReader(strings.NewReader(long), readFunc(func([]byte) (int, error) {
			time.Sleep(time.Hour)
			return 0, io.EOF
		})))
		verdict{stage: submission.StageMessage, is: context.DeadlineExceeded, temporary: true}.check(t, nil, err)
		if took := time.Since(c.start); c.conns[0].closedAt != time.Minute || took != time.Hour {
			t.Errorf("the connection was closed after %v, Send returned after %v, want 1m and 1h", c.conns[0].closedAt, took)
		}
		c.want(t, 1, 0)
	})
}

// SendFunc sends what a function writes. When the function fails, nothing is delivered.
func TestClientSendFunc(t *testing.T) {
	promise(t, "success", func(t *testing.T) {
		c := observe(t, smtptest.Config{})
		var kept io.Writer
		_, err := c.SendFunc(context.Background(), memoTo("b@test.example"), func(w io.Writer) error {
			kept = w
			_, err := io.WriteString(w, memo)
			return err
		})
		if err != nil {
			t.Error(err)
		}
		if m := c.srv.Messages(); len(m) != 1 || string(m[0].Data) != "Subject: memo\r\n\r\ntext\r\n" {
			t.Errorf("the server has %+v", m)
		}
		if _, err := io.WriteString(kept, "more"); err == nil {
			t.Error("the writer works after the function has returned")
		}
	})
	for what, tc := range map[string]struct {
		text  string
		dials int // with that of the next message
	}{
		"before anything was sent": {memo, 1},
		"in a stream":              {long, 2},
	} {
		promise(t, "an error "+what, func(t *testing.T) {
			c := observe(t, smtptest.Config{}, oneSession)
			cause := errors.New("the database is gone")
			_, err := c.SendFunc(context.Background(), memoTo("b@test.example"), func(w io.Writer) error {
				io.WriteString(w, tc.text)
				return cause
			})
			verdict{stage: submission.StageMessage, is: cause}.check(t, nil, err)
			if _, err := c.send(); err != nil {
				t.Errorf("the next message: %v", err)
			}
			c.want(t, tc.dials, 1)
		})
		promise(t, "a panic "+what, func(t *testing.T) {
			c := observe(t, smtptest.Config{}, oneSession)
			func() {
				defer func() {
					if p := recover(); p != "in write" {
						t.Errorf("recover returned %v", p)
					}
				}()
				c.SendFunc(context.Background(), memoTo("b@test.example"), func(w io.Writer) error {
					io.WriteString(w, tc.text)
					panic("in write")
				})
			}()
			if _, err := c.send(); err != nil {
				t.Errorf("the next message: %v", err)
			}
			c.want(t, tc.dials, 1)
		})
	}
}

// Begin checks the envelope and sends nothing. A session is taken when the message has grown
// over 64 KiB, at Prepare, or at Commit, and held until the transaction is over.
func TestClientBegin(t *testing.T) {
	promise(t, "a bad envelope", func(t *testing.T) {
		c := observe(t, smtptest.Config{})
		tx, err := c.Begin(context.Background(), memoTo("not an address"))
		if tx != nil {
			t.Error("a transaction, although there is an error")
		}
		wantError[*submission.AddressError](t, err)
		verdict{stage: submission.StageRcpt}.check(t, nil, err)
		c.want(t, 0, 0)
	})
	promise(t, "no I/O for 64 KiB", func(t *testing.T) {
		c := observe(t, smtptest.Config{})
		tx := c.begin(t)
		defer tx.Abort()
		mustWrite(t, tx, heldBack)
		c.want(t, 0, 0)
		mustWrite(t, tx, "x")
		c.want(t, 1, 0)
		if !strings.Contains(c.written(), "\r\nMAIL FROM:") {
			t.Errorf("MAIL was not sent: %q", c.written())
		}
		mustCommit(t, tx)
		c.want(t, 1, 1)
	})
	promise(t, "a session for Prepare", func(t *testing.T) {
		c := observe(t, smtptest.Config{})
		tx := c.begin(t)
		mustWrite(t, tx, memo)
		c.want(t, 0, 0)
		if err := tx.Prepare(); err != nil {
			t.Fatal(err)
		}
		c.want(t, 1, 0)
		mustCommit(t, tx)
		c.want(t, 1, 1)
	})
	promise(t, "a session for Commit", func(t *testing.T) {
		c := observe(t, smtptest.Config{})
		tx := c.begin(t)
		mustWrite(t, tx, memo)
		c.want(t, 0, 0)
		mustCommit(t, tx)
		c.want(t, 1, 1)
	})
	promise(t, "the envelope is that of Begin", func(t *testing.T) {
		c := observe(t, smtptest.Config{})
		env := memoTo("b@test.example")
		tx, err := c.Begin(context.Background(), env)
		if err != nil {
			t.Fatal(err)
		}
		env.To[0].Addr = "c@test.example"
		mustWrite(t, tx, memo)
		mustCommit(t, tx)
		if m := c.srv.Messages(); len(m) != 1 || !slices.Equal(m[0].To, []string{"b@test.example"}) {
			t.Errorf("the server has %+v", m)
		}
	})
	promise(t, "with a context that is done", func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		c := observe(t, smtptest.Config{})
		if tx, err := c.Begin(ctx, memoTo("b@test.example")); tx != nil || !errors.Is(err, context.Canceled) {
			t.Errorf("Begin returns %v, %v, want context.Canceled", tx, err)
		}
		c.want(t, 0, 0)
	})
	promise(t, "without a session it keeps nobody waiting", func(t *testing.T) {
		c := observe(t, smtptest.Config{}, oneSession)
		tx := c.begin(t)
		mustWrite(t, tx, heldBack)
		if _, err := c.send(); err != nil {
			t.Error(err)
		}
		mustCommit(t, tx)
		c.want(t, 1, 2)
	})
	promise(t, "its session is its own until it is over", func(t *testing.T) {
		c := observe(t, smtptest.Config{}, oneSession)
		tx := c.begin(t)
		mustWrite(t, tx, long)
		other := async(func() error { _, err := c.send(); return err })
		wantRunning(t, "another message", other)
		time.Sleep(time.Second)
		if err := tx.Prepare(); err != nil {
			t.Fatal(err)
		}
		wantRunning(t, "another message", other)
		mustCommit(t, tx)
		if err := <-other; err != nil {
			t.Error(err)
		}
		c.want(t, 1, 2)
	})
	for what, call := range sessionTakers {
		promise(t, what+" waits for a session", func(t *testing.T) {
			c := observe(t, smtptest.Config{}, oneSession)
			first, second := c.begin(t), c.begin(t)
			mustWrite(t, first, long)
			mustWrite(t, second, memo)
			waiting := async(func() error { return call(second) })
			wantRunning(t, what, waiting)
			mustCommit(t, first)
			if err := <-waiting; err != nil {
				t.Error(err)
			}
			mustCommit(t, second)
			c.want(t, 1, 2)
		})
		promise(t, what+" waits no longer than its context", func(t *testing.T) {
			c := observe(t, smtptest.Config{}, oneSession)
			first := c.begin(t)
			mustWrite(t, first, long)
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			second, err := c.Begin(ctx, memoTo("b@test.example"))
			if err != nil {
				t.Fatal(err)
			}
			mustWrite(t, second, memo)
			err = call(second)
			e := wantError[*submission.SendError](t, err)
			if took := time.Since(c.start); took != time.Minute || e.Outcome != submission.NotSent || !e.Temporary() || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("after %v: %v", took, err)
			}
			mustCommit(t, first)
			if _, err := c.send(); err != nil {
				t.Errorf("the next message: %v", err)
			}
		})
		promise(t, what+" after its context is done", func(t *testing.T) {
			c := observe(t, smtptest.Config{})
			if _, err := c.send(); err != nil {
				t.Fatal(err)
			}
			before := c.written()
			ctx, cancel := context.WithCancel(context.Background())
			tx, err := c.Begin(ctx, memoTo("b@test.example"))
			if err != nil {
				t.Fatal(err)
			}
			mustWrite(t, tx, memo)
			cancel()
			err = call(tx)
			if e := wantError[*submission.SendError](t, err); e.Outcome != submission.NotSent || !e.Temporary() || !errors.Is(err, context.Canceled) {
				t.Errorf("%v, want NotSent and context.Canceled", err)
			}
			if c.written() != before {
				t.Errorf("%q was written", strings.TrimPrefix(c.written(), before))
			}
			c.want(t, 1, 1)
		})
		promise(t, what+" starts once more when the idle session is dead", func(t *testing.T) {
			c := observe(t, smtptest.Config{Hook: endAfterFirst})
			if _, err := c.send(); err != nil {
				t.Fatal(err)
			}
			tx := c.begin(t)
			mustWrite(t, tx, memo)
			if err := call(tx); err != nil {
				t.Error(err)
			}
			mustCommit(t, tx)
			c.want(t, 2, 2)
		})
	}
}

// sessionTakers are the calls that take a session for a transaction, which has a small
// message until then.
var sessionTakers = map[string]func(*submission.Transaction) error{
	"Write":    func(tx *submission.Transaction) error { _, err := io.WriteString(tx, long); return err },
	"ReadFrom": func(tx *submission.Transaction) error { _, err := tx.ReadFrom(strings.NewReader(long)); return err },
	"Prepare":  func(tx *submission.Transaction) error { return tx.Prepare() },
	"Commit":   func(tx *submission.Transaction) error { _, err := tx.Commit(); return err },
}

// Prepare sends everything but the last octets, and Commit is the next write. A second Commit
// returns what the first one did.
func TestClientPrepareAndCommit(t *testing.T) {
	for what, tc := range map[string]struct {
		keywords   []string
		text, last string
	}{
		"DATA":                      {[]string{"PIPELINING"}, memo, ".\r\n"},
		"DATA, no end of line":      {[]string{"PIPELINING"}, "Subject: x\n\ntext", "\r\n.\r\n"},
		"DATA, in lockstep":         {[]string{}, memo, ".\r\n"},
		"DATA, in a stream":         {[]string{"PIPELINING"}, long, ".\r\n"},
		"DATA, nothing":             {[]string{"PIPELINING"}, "", ".\r\n"},
		"BDAT":                      {[]string{"PIPELINING", "CHUNKING"}, memo, "\n"},
		"BDAT, no end of line":      {[]string{"PIPELINING", "CHUNKING"}, "Subject: x\n\ntext", "\n"},
		"BDAT, in a stream":         {[]string{"PIPELINING", "CHUNKING"}, long, "\n"},
		"BDAT, in a stream, chunks": {[]string{"PIPELINING", "CHUNKING"}, strings.Repeat(long, 5), "\n"},
		"BDAT, nothing":             {[]string{"PIPELINING", "CHUNKING"}, "", "BDAT 0 LAST\r\n"},
	} {
		promise(t, what, func(t *testing.T) {
			c := observe(t, smtptest.Config{Extensions: tc.keywords}, func(o *submission.Options) { o.EarlyData = true })
			tx := c.begin(t)
			mustWrite(t, tx, tc.text)
			for range 2 { // the second one does nothing
				if err := tx.Prepare(); err != nil {
					t.Fatal(err)
				}
			}
			before := c.written()
			if n, err := io.WriteString(tx, "more"); n != 0 || err == nil {
				t.Errorf("Write after Prepare returns %d, %v", n, err)
			}
			if n, err := tx.ReadFrom(strings.NewReader("more")); n != 0 || err == nil {
				t.Errorf("ReadFrom after Prepare returns %d, %v", n, err)
			}
			time.Sleep(time.Minute) // a journal may be slow
			synctest.Wait()
			c.want(t, 1, 0)
			res := mustCommit(t, tx)
			if last, ok := strings.CutPrefix(c.written(), before); !ok || last != tc.last {
				t.Errorf("Commit wrote %q, want %q", last, tc.last)
			}
			c.want(t, 1, 1)
			if want := canonical([]byte(tc.text)); !bytes.Equal(c.srv.Messages()[0].Data, want) || res.Bytes != int64(len(want)) {
				t.Errorf("%d octets were sent, want %d", res.Bytes, len(want))
			}
			if again, err := tx.Commit(); again != res || err != nil {
				t.Errorf("the second Commit returns %v, %v, want what the first did", again, err)
			}
			c.want(t, 1, 1)
		})
	}
	promise(t, "a second Commit after a refusal", func(t *testing.T) {
		c := observe(t, smtptest.Config{Hook: refusing("b@test.example", "450 4.2.1 later")})
		tx := c.begin(t)
		_, first := tx.Commit()
		verdict{stage: submission.StageRcpt, code: 450, temporary: true}.check(t, nil, first)
		if res, err := tx.Commit(); res != nil || err != first {
			t.Errorf("the second Commit returns %v, %v, want what the first did", res, err)
		}
		if err := tx.Prepare(); err != first {
			t.Errorf("Prepare returns %v, want what Commit did", err)
		}
		c.want(t, 1, 0)
	})
	promise(t, "the context ends between them", func(t *testing.T) {
		c := observe(t, smtptest.Config{}, oneSession)
		ctx, cancel := context.WithCancel(context.Background())
		tx, err := c.Begin(ctx, memoTo("b@test.example"))
		if err != nil {
			t.Fatal(err)
		}
		mustWrite(t, tx, memo)
		if err := tx.Prepare(); err != nil {
			t.Fatal(err)
		}
		cancel()
		_, err = tx.Commit()
		if e := wantError[*submission.SendError](t, err); e.Outcome != submission.NotSent || !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
		if _, err := c.send(); err != nil {
			t.Errorf("the next message: %v", err)
		}
		c.want(t, 2, 1)
	})
}

// Abort gives a transaction up, in each of its states. The session is closed if octets of the
// message were sent; otherwise another message uses it.
func TestClientAbort(t *testing.T) {
	none := func(*testing.T, *submission.Transaction) {}
	for what, tc := range map[string]struct {
		do    func(*testing.T, *submission.Transaction)
		first int // connections when Abort is called
		all   int // connections when another message was sent
		sent  int // messages of the transaction
	}{
		"nothing was written":   {none, 0, 1, 0},
		"it is held back":       {func(t *testing.T, tx *submission.Transaction) { mustWrite(t, tx, heldBack) }, 0, 1, 0},
		"it is being sent":      {func(t *testing.T, tx *submission.Transaction) { mustWrite(t, tx, long) }, 1, 2, 0},
		"it is prepared":        {func(t *testing.T, tx *submission.Transaction) { mustWrite(t, tx, memo); tx.Prepare() }, 1, 2, 0},
		"a stream is prepared":  {func(t *testing.T, tx *submission.Transaction) { mustWrite(t, tx, long); tx.Prepare() }, 1, 2, 0},
		"it was committed":      {func(t *testing.T, tx *submission.Transaction) { mustWrite(t, tx, memo); mustCommit(t, tx) }, 1, 1, 1},
		"a stream is committed": {func(t *testing.T, tx *submission.Transaction) { mustWrite(t, tx, long); mustCommit(t, tx) }, 1, 1, 1},
	} {
		for carrier, keywords := range carriers {
			promise(t, what+", "+carrier, func(t *testing.T) {
				c := observe(t, smtptest.Config{Extensions: keywords}, oneSession)
				tx := c.begin(t)
				tc.do(t, tx)
				c.want(t, tc.first, tc.sent)
				for range 2 { // the second one does nothing
					if err := tx.Abort(); err != nil {
						t.Errorf("Abort returns %v", err)
					}
				}
				if tc.sent == 0 {
					res, err := tx.Commit()
					verdict{stage: submission.StageMessage, is: submission.ErrAborted, status: []submission.RecipientStatus{submission.RecipientUnsent}}.check(t, res, err)
					if _, err := io.WriteString(tx, "more"); !errors.Is(err, submission.ErrAborted) {
						t.Errorf("Write returns %v, want ErrAborted", err)
					}
				}
				if _, err := c.send(); err != nil {
					t.Errorf("the next message: %v", err)
				}
				c.want(t, tc.all, tc.sent+1)
			})
		}
	}
	promise(t, "it was refused before", func(t *testing.T) {
		c := observe(t, smtptest.Config{Hook: refusing("nobody@test.example", "550 5.1.1 no such user")}, oneSession)
		tx, err := c.Begin(context.Background(), memoTo("nobody@test.example"))
		if err != nil {
			t.Fatal(err)
		}
		_, err = io.WriteString(tx, long)
		verdict{stage: submission.StageRcpt, code: 550, status: []submission.RecipientStatus{submission.RecipientInvalid}}.check(t, nil, err)
		tx.Abort()
		if _, again := tx.Commit(); again != err {
			t.Errorf("Commit returns %v, want what Write did", again)
		}
		if _, err := c.send(); err != nil {
			t.Errorf("the next message: %v", err)
		}
		c.want(t, 1, 1)
	})
	promise(t, "another message waits", func(t *testing.T) {
		c := observe(t, smtptest.Config{}, oneSession)
		tx := c.begin(t)
		mustWrite(t, tx, long)
		other := async(func() error { _, err := c.send(); return err })
		wantRunning(t, "another message", other)
		tx.Abort()
		if err := <-other; err != nil {
			t.Error(err)
		}
		c.want(t, 2, 1)
	})
}

// Dial opens a session outside the pool and its bounds, which the caller closes.
func TestClientDial(t *testing.T) {
	promise(t, "a session outside the pool", func(t *testing.T) {
		c := observe(t, smtptest.Config{}, oneSession)
		tx := c.begin(t)
		mustWrite(t, tx, long) // the one session of the pool is in use
		s, err := c.Dial(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		mustSend(t, s, memoTo("b@test.example"))
		mustCommit(t, tx)
		c.want(t, 2, 2)
		c.Close()
		if !s.Usable() {
			t.Error("Close of the Client has closed the session of Dial")
		}
		mustSend(t, s, memoTo("b@test.example"))
		s.Close()
		c.want(t, 2, 3)
		synctest.Wait()
		if said := commands(c.srv); said[len(said)-1] != "QUIT" {
			t.Errorf("the last command is %s, want QUIT", said[len(said)-1])
		}
	})
	promise(t, "the context is done", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		c := observe(t, smtptest.Config{Hook: func(c smtptest.Command) *smtptest.Answer {
			if c.Verb == "EHLO" {
				return &smtptest.Answer{} // silence
			}
			return nil
		}})
		s, err := c.Dial(ctx)
		if e := wantError[*submission.ConnectError](t, err); s != nil || e.Stage != submission.StageHello || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v, %v", s, err)
		}
		if took := time.Since(c.start); took != time.Minute || c.conns[0].closedAt != time.Minute {
			t.Errorf("Dial returned after %v, the connection was closed after %v, want 1m", took, c.conns[0].closedAt)
		}
	})
	t.Run("its errors", func(t *testing.T) {
		srv := serve(t, &smtptest.Config{Accounts: map[string]string{"user": "right"}})
		for want, o := range map[string]*submission.Options{
			"*submission.ConnectError": {TLS: submission.TLSNone, Dialer: dialFunc(func(context.Context, string, string) (net.Conn, error) {
				return nil, errors.New("no way to the server")
			})},
			"*submission.TLSError":  {}, // the CA of the server is unknown
			"*submission.AuthError": {TLSConfig: srv.ClientTLSConfig(), Auth: submission.Password{Username: "user", Password: "wrong"}},
		} {
			c, err := submission.New(srv.Addr(), o)
			if err != nil {
				t.Fatal(err)
			}
			s, err := c.Dial(context.Background())
			if got := fmt.Sprintf("%T", err); s != nil || got != want {
				t.Errorf("Dial returns %v and the error %v, a %s, want a %s", s, err, got, want)
			}
			checkErrorText(t, err)
			if ping := c.Ping(context.Background()); fmt.Sprintf("%T", ping) != want {
				t.Errorf("Ping returns %v, want a %s", ping, want)
			}
			c.Close()
		}
	})
}

// Ping tells whether the server takes the credentials.
func TestPing(t *testing.T) {
	srv := smtptest.NewServer(&smtptest.Config{Accounts: map[string]string{"user": "right"}})
	defer srv.Close()
	for password, ok := range map[string]bool{"right": true, "wrong": false} {
		c, err := submission.New(srv.Addr(), &submission.Options{
			TLSConfig: srv.ClientTLSConfig(),
			Auth:      submission.Password{Username: "user", Password: password},
		})
		if err != nil {
			t.Fatal(err)
		}
		err = c.Ping(context.Background())
		if ok && err != nil {
			t.Error(err)
		}
		if !ok {
			wantError[*submission.AuthError](t, err)
		}
		c.Close()
	}
}

// Ping uses a session of the pool: an idle one with NOOP, or a new one.
func TestClientPing(t *testing.T) {
	promise(t, "it leaves its session to the next message", func(t *testing.T) {
		c := observe(t, smtptest.Config{})
		if err := c.Ping(context.Background()); err != nil {
			t.Error(err)
		}
		if want := ehlo + "\r\n"; c.written() != want {
			t.Errorf("Ping wrote %q, want %q", c.written(), want)
		}
		if _, err := c.send(); err != nil {
			t.Error(err)
		}
		c.want(t, 1, 1)
	})
	promise(t, "NOOP on an idle session", func(t *testing.T) {
		c := observe(t, smtptest.Config{})
		if _, err := c.send(); err != nil {
			t.Fatal(err)
		}
		before := c.written()
		if err := c.Ping(context.Background()); err != nil {
			t.Error(err)
		}
		if wrote := strings.TrimPrefix(c.written(), before); wrote != "NOOP\r\n" {
			t.Errorf("Ping wrote %q, want NOOP", wrote)
		}
		c.want(t, 1, 1)
	})
	promise(t, "the idle session is dead", func(t *testing.T) {
		c := observe(t, smtptest.Config{Hook: endAfterFirst})
		if _, err := c.send(); err != nil {
			t.Fatal(err)
		}
		if err := c.Ping(context.Background()); err != nil {
			t.Error(err)
		}
		c.want(t, 2, 1)
	})
	promise(t, "every session is in use", func(t *testing.T) {
		c := observe(t, smtptest.Config{}, oneSession)
		tx := c.begin(t)
		mustWrite(t, tx, long)
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		err := c.Ping(ctx)
		var send *submission.SendError
		if took := time.Since(c.start); took != time.Minute || !errors.Is(err, context.DeadlineExceeded) || errors.As(err, &send) {
			t.Errorf("after %v Ping returns %v, want context.DeadlineExceeded after 1m, and no SendError", took, err)
		}
		ping := async(func() error { return c.Ping(context.Background()) })
		wantRunning(t, "Ping", ping)
		mustCommit(t, tx)
		if err := <-ping; err != nil {
			t.Error(err)
		}
		c.want(t, 1, 1)
	})
}

// Stats counts sessions and messages.
func TestClientStats(t *testing.T) {
	promise(t, "sessions", func(t *testing.T) {
		c := observe(t, smtptest.Config{}, func(o *submission.Options) { o.Pool = submission.PoolOptions{MaxSessions: 2, MaxIdle: 1} })
		check := func(when string, open, idle, inUse, waiting int) {
			t.Helper()
			synctest.Wait()
			if s := c.Stats(); s.MaxSessions != 2 || s.Open != open || s.Idle != idle || s.InUse != inUse || s.Waiting != waiting {
				t.Errorf("%s: %+v, want %d open, %d idle, %d in use, %d waiting", when, s, open, idle, inUse, waiting)
			}
		}
		check("at first", 0, 0, 0, 0)
		first, second := c.begin(t), c.begin(t)
		mustWrite(t, first, long)
		check("one is sent", 1, 0, 1, 0)
		mustWrite(t, second, long)
		check("two are sent", 2, 0, 2, 0)
		third := async(func() error { _, err := c.send(); return err })
		check("a third waits", 2, 0, 2, 1)
		time.Sleep(time.Second)
		mustCommit(t, first)
		<-third
		check("one is sent again", 2, 1, 1, 0)
		mustCommit(t, second)
		check("none is sent", 1, 1, 0, 0)
		c.Close()
		check("after Close", 0, 0, 0, 0)
		if s := c.Stats(); s.Dials != 2 || s.Reused != 1 || s.Retired != 2 || s.WaitCount != 1 || s.WaitDuration != time.Second {
			t.Errorf("%+v", s)
		}
	})
	promise(t, "messages", func(t *testing.T) {
		c := observe(t, smtptest.Config{Hook: func(cmd smtptest.Command) *smtptest.Answer {
			switch {
			case cmd.Verb == "MESSAGE" && cmd.Session == 1:
				return &smtptest.Answer{Reply: "250 taken", Close: true}
			case cmd.Verb == "MESSAGE" && slices.Contains(cmd.Message.To, "lost@test.example"):
				return &smtptest.Answer{Close: true}
			}
			return refusing("nobody@test.example", "550 5.1.1 no such user")(cmd)
		}})
		for _, to := range [][]string{{"b@test.example"}, {"b@test.example"}, {"nobody@test.example"}, {"b@test.example", "nobody@test.example"}, {"not an address"}, {"lost@test.example"}} {
			env := memoTo(to...)
			env.Partial = true
			c.Send(context.Background(), env, strings.NewReader(memo))
		}
		if s := c.Stats(); s.Sent != 2 || s.PartlySent != 1 || s.NotSent != 2 || s.Unknown != 1 {
			t.Errorf("%+v, want 2 sent, 1 partly sent, 2 not sent, 1 unknown", s)
		}
	})
}

// Shutdown is Close with a context. When it is done, what still runs is cut off, and each
// message has its true outcome.
func TestClientShutdown(t *testing.T) {
	promise(t, "in time", func(t *testing.T) {
		c := observe(t, smtptest.Config{}, oneSession)
		tx := c.begin(t)
		mustWrite(t, tx, long)
		waiting := async(func() error { _, err := c.send(); return err })
		wantRunning(t, "Send", waiting)
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		closed := async(func() error { return c.Shutdown(ctx) })
		wantRunning(t, "Shutdown", closed)
		if _, err := c.send(); !errors.Is(err, submission.ErrClosed) {
			t.Errorf("a new message: %v, want ErrClosed", err)
		}
		mustCommit(t, tx)
		if err := <-waiting; err != nil {
			t.Errorf("the message that waited: %v", err)
		}
		if err := <-closed; err != nil {
			t.Errorf("Shutdown returns %v", err)
		}
		c.want(t, 1, 2)
	})
	promise(t, "its context is done", func(t *testing.T) {
		c := observe(t, smtptest.Config{Hook: func(c smtptest.Command) *smtptest.Answer {
			if c.Verb == "MESSAGE" {
				return &smtptest.Answer{} // silence
			}
			return nil
		}}, func(o *submission.Options) { o.Pool.MaxSessions = 2 })
		committed := async(func() error { _, err := c.send(); return err })
		wantRunning(t, "Send", committed)
		tx := c.begin(t)
		mustWrite(t, tx, long)
		waiting := async(func() error { _, err := c.send(); return err })
		wantRunning(t, "Send", waiting)
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := c.Shutdown(ctx); err != context.DeadlineExceeded || time.Since(c.start) != time.Minute {
			t.Errorf("Shutdown returns %v after %v, want context.DeadlineExceeded after 1m", err, time.Since(c.start))
		}
		_, ofTx := tx.Commit()
		for what, tc := range map[string]struct {
			err     error
			outcome submission.Outcome
		}{
			"the message that was committed":        {<-committed, submission.Unknown},
			"the message that was being sent":       {ofTx, submission.NotSent},
			"the message that waited for a session": {<-waiting, submission.NotSent},
		} {
			e := wantError[*submission.SendError](t, tc.err)
			if e.Outcome != tc.outcome || !errors.Is(tc.err, submission.ErrClosed) || !errors.Is(tc.err, context.DeadlineExceeded) {
				t.Errorf("%s: %v, want %v, ErrClosed and context.DeadlineExceeded", what, tc.err, tc.outcome)
			}
		}
		if took := time.Since(c.start); took != time.Minute {
			t.Errorf("it all took %v, want 1m", took)
		}
	})
}

// Close refuses new calls, waits for those that were made before, and ends the sessions.
func TestClientClose(t *testing.T) {
	promise(t, "it ends the idle sessions", func(t *testing.T) {
		c := observe(t, smtptest.Config{})
		if _, err := c.send(); err != nil {
			t.Fatal(err)
		}
		for range 2 { // the second one does nothing
			if err := c.Close(); err != nil {
				t.Errorf("Close returns %v", err)
			}
		}
		if !strings.HasSuffix(c.written(), "QUIT\r\n") || !c.conns[0].closed {
			t.Errorf("the session is not closed: %q", c.written())
		}
	})
	promise(t, "everything after it is refused", func(t *testing.T) {
		c := observe(t, smtptest.Config{})
		c.Close()
		_, err := c.send()
		if e := wantError[*submission.SendError](t, err); e.Outcome != submission.NotSent || !errors.Is(err, submission.ErrClosed) {
			t.Errorf("Send returns %v, want ErrClosed", err)
		}
		_, err = c.SendFunc(context.Background(), memoTo("b@test.example"), func(io.Writer) error { return nil })
		if !errors.Is(err, submission.ErrClosed) {
			t.Errorf("SendFunc returns %v, want ErrClosed", err)
		}
		tx, err := c.Begin(context.Background(), memoTo("b@test.example"))
		if e := wantError[*submission.SendError](t, err); tx != nil || e.Outcome != submission.NotSent || !errors.Is(err, submission.ErrClosed) {
			t.Errorf("Begin returns %v, %v, want ErrClosed", tx, err)
		}
		if err := c.Ping(context.Background()); !errors.Is(err, submission.ErrClosed) {
			t.Errorf("Ping returns %v, want ErrClosed", err)
		}
		c.want(t, 0, 0)
	})
	promise(t, "it waits for transactions with a session", func(t *testing.T) {
		c := observe(t, smtptest.Config{})
		streaming, prepared, held := c.begin(t), c.begin(t), c.begin(t)
		mustWrite(t, streaming, long)
		mustWrite(t, prepared, memo)
		if err := prepared.Prepare(); err != nil {
			t.Fatal(err)
		}
		mustWrite(t, held, memo)
		closed := async(c.Close)
		wantRunning(t, "Close", closed)
		mustCommit(t, streaming)
		wantRunning(t, "Close", closed)
		mustCommit(t, prepared)
		if err := <-closed; err != nil {
			t.Errorf("Close returns %v", err)
		}
		_, err := held.Commit()
		if e := wantError[*submission.SendError](t, err); e.Outcome != submission.NotSent || !errors.Is(err, submission.ErrClosed) {
			t.Errorf("Commit without a session returns %v, want ErrClosed", err)
		}
		c.want(t, 2, 2)
	})
	promise(t, "an aborted transaction lets it return", func(t *testing.T) {
		c := observe(t, smtptest.Config{})
		tx := c.begin(t)
		mustWrite(t, tx, long)
		closed := async(c.Close)
		wantRunning(t, "Close", closed)
		tx.Abort()
		if err := <-closed; err != nil {
			t.Errorf("Close returns %v", err)
		}
		c.want(t, 1, 0)
	})
	promise(t, "a context ends what it waits for", func(t *testing.T) {
		c := observe(t, smtptest.Config{Hook: func(c smtptest.Command) *smtptest.Answer {
			if c.Verb == "MESSAGE" {
				return &smtptest.Answer{} // silence
			}
			return nil
		}})
		ctx, cancel := context.WithCancel(context.Background())
		sent := async(func() error {
			_, err := c.Send(ctx, memoTo("b@test.example"), strings.NewReader(memo))
			return err
		})
		wantRunning(t, "Send", sent)
		closed := async(c.Close)
		wantRunning(t, "Close", closed)
		cancel()
		err := <-sent
		verdict{outcome: submission.Unknown, stage: submission.StageFinal, is: context.Canceled, status: []submission.RecipientStatus{submission.RecipientUncertain}}.check(t, nil, err)
		<-closed
		if took := time.Since(c.start); took != 0 {
			t.Errorf("Close took %v", took)
		}
	})
}

// Close waits for a message that is being sent, and refuses new ones meanwhile.
func TestCloseWhileSending(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hold := make(chan struct{})
		srv := smtptest.NewServer(&smtptest.Config{TLS: smtptest.NoTLS, Hook: func(c smtptest.Command) *smtptest.Answer {
			if c.Verb == "MESSAGE" {
				<-hold
			}
			return nil
		}})
		defer srv.Close()
		o := plainText()
		o.Dialer = dialFunc(func(context.Context, string, string) (net.Conn, error) { return srv.Pipe(), nil })
		c, err := submission.New(testHost, o)
		if err != nil {
			t.Fatal(err)
		}
		sent := make(chan error, 1)
		go func() {
			_, err := c.Send(context.Background(), memoTo("b@test.example"), strings.NewReader(memo))
			sent <- err
		}()
		synctest.Wait()
		closed := make(chan struct{})
		go func() { c.Close(); close(closed) }()
		synctest.Wait()
		select {
		case <-closed:
			t.Error("Close did not wait for the message")
		default:
		}
		_, err = c.Send(context.Background(), memoTo("b@test.example"), strings.NewReader(memo))
		if !errors.Is(err, submission.ErrClosed) {
			t.Errorf("Send after Close: %v", err)
		}
		close(hold)
		if err := <-sent; err != nil {
			t.Errorf("the message that was being sent: %v", err)
		}
		<-closed
		if n := len(srv.Messages()); n != 1 {
			t.Errorf("the server accepted %d messages", n)
		}
	})
}
