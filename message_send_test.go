package submission_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/fe022423/submission"
	"github.com/fe022423/submission/smtptest"
)

// A message goes from whom and to whom it says, without Bcc.
func TestSendMessage(t *testing.T) {
	for _, tt := range []struct {
		name, in, option string
		from, to         string
		out              string
		utf8             bool
	}{
		{"plain", "From: a@x.example\nTo: B <b@x.example>\nBcc: c@x.example\n\nhi\n", "", "a@x.example", "b@x.example c@x.example", "From: a@x.example\nTo: B <b@x.example>\n\nhi\n", false},
		{"resent", "Resent-From: r@x.example\nResent-To: t@x.example\nFrom: a@x.example\nTo: b@x.example\n\nhi\n", "", "r@x.example", "t@x.example", "", false},
		{"UTF-8", "From: Jürgen <a@x.example>\nTo: b@x.example\n\nhi\n", "", "a@x.example", "b@x.example", "", true},
		{"the default sender", "To: b@x.example\n\nhi\n", "d@x.example", "d@x.example", "b@x.example", "", false},
		{"not the default sender", "From: a@x.example\nTo: b@x.example\n\nhi\n", "d@x.example", "a@x.example", "b@x.example", "", false},
		{"no body", "From: a@x.example\nTo: b@x.example", "", "a@x.example", "b@x.example", "From: a@x.example\nTo: b@x.example\n", false},
		{"bare CR", "From: a@x.example\rBcc: b@x.example\r\rhi", "", "a@x.example", "b@x.example", "From: a@x.example\n\nhi\n", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := observe(t, smtptest.Config{}, func(o *submission.Options) { o.From = tt.option })
				res, err := o.SendMessage(t.Context(), strings.NewReader(tt.in))
				if err != nil {
					t.Fatal(err)
				}
				all := o.srv.Messages()
				if len(all) != 1 {
					t.Fatalf("%d messages", len(all))
				}
				want := tt.out
				if want == "" {
					want = tt.in
				}
				m := all[0]
				if m.From != tt.from || strings.Join(m.To, " ") != tt.to || string(m.Data) != strings.ReplaceAll(want, "\n", "\r\n") {
					t.Errorf("from %q to %q: %q", m.From, m.To, m.Data)
				}
				if utf8 := strings.Contains(strings.Join(m.Params, " "), "SMTPUTF8"); utf8 != tt.utf8 {
					t.Errorf("parameters %q", m.Params)
				}
				if len(res.Recipients) != len(m.To) || res.Bytes != int64(len(m.Data)) {
					t.Errorf("%+v", res)
				}
			})
		})
	}
}

// What cannot be sent as it is, is refused before a session is taken, with the cause.
func TestSendMessageRefused(t *testing.T) {
	done, cancel := context.WithCancel(context.Background())
	cancel()
	bad := errors.New("disk on fire")
	for _, tt := range []struct {
		name   string
		in     io.Reader
		ctx    context.Context
		closed bool
		kind   string // what the cause is
		v      verdict
	}{
		{"nil", nil, nil, false, "header", verdict{stage: submission.StageMessage}},
		{"closed", strings.NewReader("x"), nil, true, "header", verdict{stage: submission.StageWait, is: submission.ErrClosed}},
		{"closed, nil", nil, nil, true, "header", verdict{stage: submission.StageWait, is: submission.ErrClosed}},
		{"given up", strings.NewReader("x"), done, false, "header", verdict{stage: submission.StageMail, temporary: true, is: context.Canceled}},
		{"given up, nil", nil, done, false, "header", verdict{stage: submission.StageMail, temporary: true, is: context.Canceled}},
		{"empty", strings.NewReader(""), nil, false, "nobody", verdict{stage: submission.StageRcpt, is: submission.ErrNoRecipients}},
		{"no recipient", strings.NewReader("From: a@x.example\n\nhi\n"), nil, false, "nobody", verdict{stage: submission.StageRcpt, is: submission.ErrNoRecipients}},
		{"a bad recipient", strings.NewReader("From: a@x.example\nTo: everyone\n\nhi\n"), nil, false, "address", verdict{stage: submission.StageRcpt}},
		{"an impossible recipient", strings.NewReader("From: a@x.example\nTo: b@x.example, c@x_y\n\nhi\n"), nil, false, "address", verdict{stage: submission.StageRcpt, status: []submission.RecipientStatus{statusUnsent, statusInvalid}}},
		{"two senders", strings.NewReader("From: a@x.example, z@x.example\nTo: b@x.example, c@x.example\n\nhi\n"), nil, false, "sender", verdict{stage: submission.StageMail, status: []submission.RecipientStatus{statusUnsent, statusUnsent}}},
		{"no sender", strings.NewReader("To: b@x.example\n\nhi\n"), nil, false, "sender", verdict{stage: submission.StageMail, status: []submission.RecipientStatus{statusUnsent}}},
		{"text", strings.NewReader("hi there\n"), nil, false, "header", verdict{stage: submission.StageMessage}},
		{"too long", strings.NewReader("X: " + strings.Repeat("x", maxHeaderSection)), nil, false, "header", verdict{stage: submission.StageMessage}},
		{"source fails", io.MultiReader(strings.NewReader("From: a@x.example\n"), iotest.ErrReader(bad)), nil, false, "header", verdict{stage: submission.StageMessage, is: bad}},
		{"source fails after the header section", io.MultiReader(strings.NewReader("From: a@x.example\nTo: b@x.example\n\n"), iotest.ErrReader(bad)), nil, false, "header", verdict{stage: submission.StageMessage, is: bad, status: []submission.RecipientStatus{statusUnsent}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := observe(t, smtptest.Config{})
			if tt.closed {
				o.Close()
			}
			if tt.ctx == nil {
				tt.ctx = t.Context()
			}
			res, err := o.SendMessage(tt.ctx, tt.in)
			if tt.v.status == nil {
				tt.v.status = []submission.RecipientStatus{}
			}
			tt.v.check(t, res, err)
			if kind := kindOfCause(err); kind != tt.kind {
				t.Errorf("cause of kind %s, want %s: %v", kind, tt.kind, err)
			}
			if r, ok := tt.in.(*strings.Reader); ok && (tt.closed || tt.ctx.Err() != nil) && r.Len() != 1 {
				t.Error("the message was read")
			}
			if n := o.Stats().NotSent; n != 1 {
				t.Errorf("%d messages were counted", n)
			}
			o.want(t, 0, 0)
		})
	}
}

// kindOfCause is kindOfReadError for what is in a SendError.
func kindOfCause(err error) string { return kindOfReadError(err.(*submission.SendError).Err) }

// A message that is too long to be held back starts again on a fresh session, as one of Send
// does, if its source can seek.
func TestSendMessageStartsAgain(t *testing.T) {
	text := "From: a@x.example\nBcc: b@x.example\n\n" + strings.Repeat("line\n", 50000)
	for _, seeks := range []bool{true, false} {
		t.Run(fmt.Sprint("seeks ", seeks), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var o *observed
				o = observe(t, smtptest.Config{}, func(options *submission.Options) {
					options.Dialer = dialFunc(func(context.Context, string, string) (net.Conn, error) {
						nc := o.dial()
						if o.dials() == 1 { // a session that breaks in the second message
							nc = smtptest.Fault{Write: smtptest.After(150000)}.Wrap(nc)
						}
						return nc, nil
					})
				})
				if _, err := o.send(); err != nil {
					t.Fatal(err)
				}
				var msg io.Reader = strings.NewReader("junk" + text)
				msg.(io.Seeker).Seek(4, io.SeekStart)
				if !seeks {
					msg = struct{ io.Reader }{msg}
				}
				_, err := o.SendMessage(t.Context(), msg)
				if (err == nil) != seeks {
					t.Fatal(err)
				}
				if !seeks {
					wantOutcome(t, err, submission.NotSent, statusUnsent)
					o.want(t, 1, 1)
					return
				}
				o.want(t, 2, 2)
				want := strings.ReplaceAll(strings.Replace(text, "Bcc: b@x.example\n", "", 1), "\n", "\r\n")
				if got := string(o.srv.Messages()[1].Data); got != want {
					t.Errorf("%d octets arrived, want %d: %.100q", len(got), len(want), got)
				}
			})
		})
	}
}

// A context that ends while the header section is read is the cause, also when the source
// fails because of it; and a source that panics leaves nothing behind.
func TestSendMessageGivenUpInTheHeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := observe(t, smtptest.Config{})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		start := time.Now()
		_, err := o.SendMessage(ctx, io.MultiReader(strings.NewReader("From: a@x.example\n"), readFunc(func([]byte) (int, error) {
			<-ctx.Done()
			return 0, errors.New("pipe closed")
		})))
		e := wantOutcome(t, err, submission.NotSent)
		if !errors.Is(err, context.DeadlineExceeded) || !e.Temporary() || time.Since(start) != time.Minute {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
		func() {
			defer func() {
				if p := recover(); p != "boom" {
					t.Errorf("panic %v", p)
				}
			}()
			o.SendMessage(t.Context(), io.MultiReader(strings.NewReader("From: a@x.example\n"), readFunc(func([]byte) (int, error) { panic("boom") })))
		}()
		if st := o.Stats(); st.NotSent != 2 || st.InUse != 0 {
			t.Errorf("%+v", st)
		}
		o.Close() // it waits for sends that were called before
		o.want(t, 0, 0)
	})
}

// A message whose header section is being read when the Client is shut down was called
// before, so it is carried through.
func TestSendMessageBeforeShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := observe(t, smtptest.Config{})
		pr, pw := io.Pipe()
		sent := make(chan error)
		go func() {
			_, err := o.SendMessage(context.Background(), pr)
			sent <- err
		}()
		io.WriteString(pw, "From: a@x.example\nTo: ")
		closed := make(chan error)
		go func() { closed <- o.Shutdown(context.Background()) }()
		synctest.Wait()
		select {
		case <-closed:
			t.Fatal("Shutdown did not wait")
		default:
		}
		io.WriteString(pw, "b@x.example\n\nhi\n")
		pw.Close()
		if err := <-sent; err != nil {
			t.Error(err)
		}
		if err := <-closed; err != nil {
			t.Error(err)
		}
		o.want(t, 1, 1)
	})
}
