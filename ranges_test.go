package submission_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/fe022423/submission"
	"github.com/fe022423/submission/smtptest"
)

// rangeServer is a server that takes so many recipients in a transaction, and says so in
// one of the ways there are.
type rangeServer struct {
	limit    int
	says     string // "LIMITS", or the reply to the recipient that is one too many
	keywords []string
	hook     func(smtptest.Command) *smtptest.Answer
}

func (r rangeServer) start(t *testing.T) *smtptest.Server {
	c := &smtptest.Config{TLS: smtptest.NoTLS, Extensions: slices.Clone(r.keywords)}
	if r.says == "LIMITS" {
		c.Extensions = append(c.Extensions, fmt.Sprintf("LIMITS RCPTMAX=%d", r.limit))
	}
	c.Hook = func(cmd smtptest.Command) *smtptest.Answer {
		if r.hook != nil {
			if a := r.hook(cmd); a != nil {
				return a
			}
		}
		if cmd.Verb == "RCPT" && r.says != "LIMITS" && len(cmd.Message.To) >= r.limit {
			return &smtptest.Answer{Reply: r.says}
		}
		return nil
	}
	srv := smtptest.NewServer(c)
	t.Cleanup(srv.Close)
	return srv
}

// partialLetters is letters for whoever can be reached.
func partialLetters(n int) submission.Envelope {
	env := letters(n)
	env.Partial = true
	return env
}

// wantEach holds the messages that a server has against the recipients that have status
// sent: each has the message once, the others do not.
func wantEach(t *testing.T, srv *smtptest.Server, list []submission.RecipientResult, text string) {
	t.Helper()
	got := map[string]int{}
	for _, m := range srv.Messages() {
		if string(m.Data) != text {
			t.Errorf("a message of %d octets, want %d", len(m.Data), len(text))
		}
		for _, to := range m.To {
			got[to]++
		}
	}
	for _, r := range list {
		want := 0
		if r.Status == submission.RecipientSent {
			want = 1
		}
		if n := got[r.Addr]; n != want && r.Status != submission.RecipientUncertain {
			t.Errorf("%s is %v, and has the message %d times", r.Addr, r.Status, n)
		}
	}
}

// rangeWays are the ways in which messages travel.
var rangeWays = map[string][]string{
	"lockstep": {"ENHANCEDSTATUSCODES"},
	"DATA":     {"PIPELINING"},
	"BDAT":     {"PIPELINING", "CHUNKING", "ENHANCEDSTATUSCODES"},
}

// A message for more recipients than the server takes at once goes out several times
// (RFC 9422, 4.2; RFC 5321, 4.5.3.1.10), as often as it has to and no more.
func TestRanges(t *testing.T) {
	t.Parallel()
	const n = 250
	short := "Subject: x\r\n\r\ntext\r\n"
	for _, says := range []string{"LIMITS", "452 4.5.3 too many", "452 Too many recipients", "552 5.5.3 enough",
		"552 too many recipients", "452-4.5.3 more\n452 4.5.3 lines", "450 4.5.3 later", "452 at most 50 recipients", "431 Too many recipients."} {
		for name, keywords := range rangeWays {
			for _, limit := range []int{1, 50, 100, n - 1, n, n + 1} {
				text := short
				if limit == 100 {
					text = short + strings.Repeat("more text\r\n", 10_000) // longer than what is held back
				}
				t.Run(fmt.Sprintf("%s/%s/%d", says, name, limit), func(t *testing.T) {
					for _, own := range []bool{false, true} {
						synctest.Test(t, func(t *testing.T) {
							srv := rangeServer{limit: limit, says: says, keywords: keywords}.start(t)
							var send func(context.Context, submission.Envelope, io.Reader) (*submission.Result, error)
							if own {
								s := openSession(t, srv.Pipe(), plainText())
								defer s.Close()
								send = s.Send
							} else {
								c := pipedClient(t, srv, submission.PoolOptions{})
								defer c.Close()
								send = c.Send
							}
							r, err := send(t.Context(), partialLetters(n), strings.NewReader(text))
							if err != nil {
								t.Fatal(err)
							}
							wantEach(t, srv, r.Recipients, text)
							if got, want := len(srv.Messages()), (n+limit-1)/limit; got != want {
								t.Errorf("%d messages, want %d", got, want)
							}
							if len(r.Recipients) != n || r.Bytes != int64(len(text)) || r.Reply.Code != 250 {
								t.Errorf("%d recipients, %d octets, %v", len(r.Recipients), r.Bytes, r.Reply)
							}
							for i, rcpt := range r.Recipients {
								if rcpt.Addr != fmt.Sprintf("r%d@test.example", i) || rcpt.Status != submission.RecipientSent || rcpt.Reply.Code != 250 {
									t.Fatalf("recipient %d: %+v", i, rcpt)
								}
							}
							wantRefusals(t, srv, says, name, n, limit)
							want := 1
							if !own { // PoolOptions.MaxMessages
								want = (len(srv.Messages()) + 99) / 100
							}
							if srv.Sessions() != want {
								t.Errorf("%d sessions, want %d", srv.Sessions(), want)
							}
						})
					}
				})
			}
		}
	}
}

// wantRefusals holds how many recipients were refused as too many against the least: none
// where the limit was named, one where each is answered before the next is asked for, and
// where not, those that were asked for before the first refusal was read.
func wantRefusals(t *testing.T, srv *smtptest.Server, says, way string, n, limit int) {
	t.Helper()
	asked := 0
	for _, line := range srv.Transcript() {
		if strings.Contains(line, "C: RCPT") {
			asked++
		}
	}
	switch refused := asked - n; {
	case says == "LIMITS" || limit >= n:
		if refused != 0 {
			t.Errorf("%d recipients refused", refused)
		}
	case way == "lockstep":
		if refused != 1 {
			t.Errorf("%d recipients refused, want 1", refused)
		}
	case refused < 1 || refused > 4096/28: // what fits into 4,096 octets
		t.Errorf("%d recipients refused", refused)
	}
}

// Other refusals after the first recipients are no sign of a limit.
func TestRangesOfOtherRefusals(t *testing.T) {
	for _, reply := range []string{"452 4.2.2 mailbox full", "452 4.3.1 no space", "452 full", "552 5.2.2 full", "552 full",
		"551 too many recipients", "450 4.2.1 too many recipients", "550 5.1.1 no recipients like that", "452 5.5.3 which is it"} {
		synctest.Test(t, func(t *testing.T) {
			srv := rangeServer{limit: 2, says: reply, keywords: []string{"PIPELINING"}}.start(t)
			c := pipedClient(t, srv, submission.PoolOptions{})
			defer c.Close()
			_, err := c.Send(t.Context(), partialLetters(3), strings.NewReader("x\r\n"))
			if e := wantPartly(t, err, 2); e != nil && len(srv.Messages()) != 1 {
				t.Errorf("%s: %d messages", reply, len(srv.Messages()))
			}
		})
	}
}

func wantPartly(t *testing.T, err error, sent int) *submission.SendError {
	t.Helper()
	var e *submission.SendError
	if !errors.As(err, &e) || e.Outcome != submission.PartlySent {
		t.Errorf("got %v, want it partly sent", err)
		return nil
	}
	if got := countStatus(e.Recipients, submission.RecipientSent); got != sent {
		t.Errorf("sent to %d, want %d: %v", got, sent, err)
	}
	return e
}

func countStatus(list []submission.RecipientResult, status submission.RecipientStatus) int {
	n := 0
	for _, r := range list {
		if r.Status == status {
			n++
		}
	}
	return n
}

// Without Partial a message that the server does not take for all at once is refused
// before anything is sent.
func TestRangesAllOrNothing(t *testing.T) {
	for _, c := range []struct {
		limits string
		env    submission.Envelope
		want   string // "" when it is sent
	}{
		{"RCPTMAX=3", letters(3), ""},
		{"RCPTMAX=3", letters(4), "4 recipients, the server takes 3 a message (LIMITS RCPTMAX)"},
		{"RCPTMAX=1", letters(2), "2 recipients, the server takes 1 a message"},
		{"RCPTDOMAINMAX=1", letters(4), ""},
		{"RCPTDOMAINMAX=2 RCPTMAX=9", inDomains("a.example", "b.example", "A.EXAMPLE", "c.example"), "recipients in 3 domains, the server takes 2 a session (LIMITS RCPTDOMAINMAX)"},
		{"RCPTDOMAINMAX=2", inDomains("xn--bcher-kva.example", "bücher.example", "B\u00dcCHER.example", "c.example"), ""},
		{"RCPTMAX=0", letters(4), ""}, // not a limit: the value begins with 0
		{"RCPTMAX=03", letters(4), ""},
		{"RCPTMAX=1234567", letters(4), ""},
		{"RCPTMAX=", letters(4), ""},
		{"RCPTMAX", letters(4), ""},
		{"XRCPTMAX=1 RCPTMAX=4", letters(4), ""},
		{"rcptmax=3", letters(4), "4 recipients"},
	} {
		t.Run(c.limits, func(t *testing.T) {
			for _, own := range []bool{false, true} {
				synctest.Test(t, func(t *testing.T) {
					srv := smtptest.NewServer(&smtptest.Config{TLS: smtptest.NoTLS, Extensions: []string{"PIPELINING"}, Hook: limitsHook(c.limits)})
					defer srv.Close()
					cl := pipedClient(t, srv, submission.PoolOptions{})
					defer cl.Close()
					send := cl.Send
					if own {
						s := openSession(t, srv.Pipe(), plainText())
						defer s.Close()
						send = s.Send
					}
					_, err := send(t.Context(), c.env, strings.NewReader("x\r\n"))
					if c.want == "" {
						if err != nil || len(srv.Messages()) != 1 {
							t.Errorf("%v, %d messages", err, len(srv.Messages()))
						}
						return
					}
					var e *submission.SendError
					if !errors.As(err, &e) || e.Outcome != submission.NotSent || e.Stage != submission.StageRcpt ||
						!errors.Is(err, submission.ErrOutOfRange) || !strings.Contains(err.Error(), c.want) || e.Temporary() {
						t.Errorf("got %v, want %q", err, c.want)
					}
					if said(srv, "C: MAIL") != 0 {
						t.Error("MAIL was sent")
					}
				})
			}
		})
	}
}

// limitsHook has a server offer limits without keeping to them.
func limitsHook(limits string) func(smtptest.Command) *smtptest.Answer {
	return func(cmd smtptest.Command) *smtptest.Answer {
		if cmd.Verb != "EHLO" {
			return nil
		}
		return &smtptest.Answer{Reply: "250-mail.test.example\n250-PIPELINING\n250 LIMITS " + limits}
	}
}

func inDomains(domains ...string) submission.Envelope {
	env := submission.Envelope{From: "a@test.example"}
	for i, d := range domains {
		env.To = append(env.To, submission.To(fmt.Sprintf("r%d@%s", i, d))...)
	}
	return env
}

// said counts the lines of a transcript that hold a text.
func said(srv *smtptest.Server, text string) int {
	n := 0
	for _, line := range srv.Transcript() {
		if strings.Contains(line, text) {
			n++
		}
	}
	return n
}

// A long message that cannot be read again is refused before anything is sent where the
// server names its limit, and goes to as many as the server takes where it does not.
func TestRangesOfLongMessages(t *testing.T) {
	long := strings.Repeat("a line of text\r\n", 6_000)
	for _, says := range []string{"LIMITS", "452 4.5.3 too many"} {
		for _, how := range []string{"Send", "SendFunc", "Write", "Prepare"} {
			t.Run(says+"/"+how, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					srv := rangeServer{limit: 2, says: says, keywords: []string{"PIPELINING", "CHUNKING"}}.start(t)
					c := pipedClient(t, srv, submission.PoolOptions{})
					defer c.Close()
					_, err := sendSo(t, c, how, partialLetters(5), long)
					if says != "LIMITS" {
						wantPartly(t, err, 2)
						return
					}
					var e *submission.SendError
					if !errors.As(err, &e) || e.Outcome != submission.NotSent || !errors.Is(err, submission.ErrOutOfRange) || !strings.Contains(err.Error(), "io.ReadSeeker") {
						t.Errorf("got %v", err)
					}
					if said(srv, "C: MAIL") != 0 {
						t.Error("MAIL was sent")
					}
				})
			})
		}
	}
}

// sendSo sends a message that cannot be read again, in one of the ways there are.
func sendSo(t *testing.T, c *submission.Client, how string, env submission.Envelope, text string) (*submission.Result, error) {
	t.Helper()
	switch how {
	case "Send":
		return c.Send(t.Context(), env, io.MultiReader(strings.NewReader(text)))
	case "SendFunc":
		return c.SendFunc(t.Context(), env, func(w io.Writer) error {
			_, err := io.WriteString(w, text)
			return err
		})
	}
	tx, err := c.Begin(t.Context(), env)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Abort()
	if _, err := io.WriteString(tx, text); err != nil {
		return nil, err
	}
	if how == "Prepare" {
		if err := tx.Prepare(); err != nil {
			return nil, err
		}
	}
	return tx.Commit()
}

// A short message goes out in ranges however it is given, and only Commit sends it.
func TestRangesOfTransactions(t *testing.T) {
	for _, how := range []string{"Send", "SendFunc", "Write", "Prepare"} {
		synctest.Test(t, func(t *testing.T) {
			srv := rangeServer{limit: 2, says: "LIMITS", keywords: []string{"PIPELINING"}}.start(t)
			c := pipedClient(t, srv, submission.PoolOptions{})
			defer c.Close()
			r, err := sendSo(t, c, how, partialLetters(5), "Subject: x\r\n\r\ntext\r\n")
			if err != nil || len(srv.Messages()) != 3 {
				t.Fatalf("%s: %v, %d messages", how, err, len(srv.Messages()))
			}
			wantEach(t, srv, r.Recipients, "Subject: x\r\n\r\ntext\r\n")
		})
	}
	synctest.Test(t, func(t *testing.T) {
		srv := rangeServer{limit: 2, says: "LIMITS", keywords: []string{"PIPELINING"}}.start(t)
		c := pipedClient(t, srv, submission.PoolOptions{})
		defer c.Close()
		tx, err := c.Begin(t.Context(), partialLetters(5))
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(tx, "x\r\n")
		if err := tx.Prepare(); err != nil || said(srv, "C: DATA") != 1 || len(srv.Messages()) != 0 {
			t.Errorf("%v, %q", err, srv.Transcript())
		}
		tx.Abort()
		if synctest.Wait(); len(srv.Messages()) != 0 {
			t.Error("sent without Commit")
		}
	})
}

// What stops one range stops those that follow; a recipient that is refused, also all
// of a range, does not. The recipients of each range have their own verdict.
func TestRangesStop(t *testing.T) {
	const sent, unsent, invalid, uncertain = submission.RecipientSent, submission.RecipientUnsent, submission.RecipientInvalid, submission.RecipientUncertain
	type statuses = []submission.RecipientStatus
	second := func(verb, reply string) func() func(smtptest.Command) *smtptest.Answer { // the second one and later ones
		return func() func(smtptest.Command) *smtptest.Answer {
			n := 0
			return func(cmd smtptest.Command) *smtptest.Answer {
				if cmd.Verb != verb {
					return nil
				}
				if n++; n == 1 {
					return nil
				}
				return &smtptest.Answer{Reply: reply, Close: reply == ""}
			}
		}
	}
	for _, c := range []struct {
		name      string
		hook      func() func(smtptest.Command) *smtptest.Answer
		outcome   submission.Outcome
		stage     submission.Stage
		want      statuses // of r0 to r4; the server takes two
		temporary bool
	}{
		{"MAIL 550", second("MAIL", "550 5.7.1 no more"), submission.PartlySent, submission.StageMail, statuses{sent, sent, unsent, unsent, unsent}, false},
		{"MAIL 451", second("MAIL", "451 4.7.1 later"), submission.PartlySent, submission.StageMail, statuses{sent, sent, unsent, unsent, unsent}, true},
		{"MAIL 421", second("MAIL", "421 4.7.0 bye"), submission.PartlySent, submission.StageMail, statuses{sent, sent, unsent, unsent, unsent}, true},
		{"DATA 451", second("DATA", "451 4.3.0 later"), submission.PartlySent, submission.StageData, statuses{sent, sent, unsent, unsent, unsent}, true},
		{"final 554", second("MESSAGE", "554 5.6.0 spam"), submission.PartlySent, submission.StageFinal, statuses{sent, sent, unsent, unsent, unsent}, false},
		{"final 451", second("MESSAGE", "451 4.3.0 later"), submission.PartlySent, submission.StageFinal, statuses{sent, sent, unsent, unsent, unsent}, true},
		{"final lost", second("MESSAGE", ""), submission.Unknown, submission.StageFinal, statuses{sent, sent, uncertain, uncertain, unsent}, false},
		{"RCPT 550", refuseRcpts("550 5.1.1 who", 2), submission.PartlySent, submission.StageRcpt, statuses{sent, sent, invalid, sent, sent}, false},
		{"RCPT 450 of a range", refuseRcpts("450 4.2.1 later", 2, 3), submission.PartlySent, submission.StageRcpt, statuses{sent, sent, unsent, unsent, sent}, true},
		{"RCPT 550 of the first range", refuseRcpts("550 5.1.1 who", 0, 1), submission.PartlySent, submission.StageRcpt, statuses{invalid, invalid, sent, sent, sent}, false},
		{"RCPT 550 of the last range", refuseRcpts("550 5.1.1 who", 4), submission.PartlySent, submission.StageRcpt, statuses{sent, sent, sent, sent, invalid}, false},
		{"RCPT 550 of all", refuseRcpts("550 5.1.1 who", 0, 1, 2, 3, 4), submission.NotSent, submission.StageRcpt, statuses{invalid, invalid, invalid, invalid, invalid}, false},
		{"RCPT too many of the first", refuseRcpts("452 4.5.3 too many", 0), submission.PartlySent, submission.StageRcpt, statuses{unsent, sent, sent, sent, sent}, true},
		{"RCPT too many of a range", refuseRcpts("452 4.5.3 too many this hour", 2, 3, 4), submission.PartlySent, submission.StageRcpt, statuses{sent, sent, unsent, unsent, unsent}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			for name, keywords := range map[string][]string{"lockstep": nil, "DATA": {"PIPELINING"}} {
				synctest.Test(t, func(t *testing.T) {
					srv := rangeServer{limit: 2, says: "LIMITS", keywords: append([]string{"ENHANCEDSTATUSCODES"}, keywords...), hook: c.hook()}.start(t)
					cl := pipedClient(t, srv, submission.PoolOptions{})
					defer cl.Close()
					r, err := cl.Send(t.Context(), partialLetters(5), strings.NewReader("x\r\n"))
					var e *submission.SendError
					if !errors.As(err, &e) {
						t.Fatal(name, err)
					}
					var got statuses
					for _, r := range e.Recipients {
						got = append(got, r.Status)
					}
					if e.Outcome != c.outcome || e.Stage != c.stage || !slices.Equal(got, c.want) || e.Temporary() != c.temporary {
						t.Errorf("%s: got %v at %v, %v, temporary %v: %v", name, e.Outcome, e.Stage, got, e.Temporary(), err)
					}
					if (r != nil) != (e.Outcome == submission.PartlySent) {
						t.Errorf("%s: result %v", name, r)
					}
					wantEach(t, srv, e.Recipients, "x\r\n")
					if c.name == "RCPT too many of a range" && said(srv, "RCPT TO:<r4") != 0 {
						t.Error(name, "another one was asked for")
					}
					st := cl.Stats()
					if st.Sent+st.PartlySent+st.NotSent+st.Unknown != 1 {
						t.Errorf("counted as %+v", st)
					}
				})
			}
		})
	}
}

// Each recipient keeps the server's answer to it, whatever the ranges before and after it.
func TestRangesKeepReplies(t *testing.T) {
	for _, says := range []string{"LIMITS", "452 4.5.3 too many"} {
		for _, reply := range []string{"452 4.2.2 full", "550 5.1.1 who"} {
			for refused := range 7 {
				synctest.Test(t, func(t *testing.T) {
					srv := rangeServer{limit: 2, says: says, keywords: []string{"ENHANCEDSTATUSCODES"}, hook: refuseRcpts(reply, refused)()}.start(t)
					c := pipedClient(t, srv, submission.PoolOptions{})
					defer c.Close()
					_, err := c.Send(t.Context(), partialLetters(7), strings.NewReader("x\r\n"))
					e := wantPartly(t, err, 6)
					if e == nil {
						return
					}
					for i, r := range e.Recipients {
						want := "250 2.1.5 recipient ok"
						if i == refused {
							want = reply
						}
						if r.Reply.String() != want {
							t.Errorf("%s, r%d refused: the reply to r%d is %q, want %q", says, refused, i, r.Reply, want)
						}
					}
				})
			}
		}
	}
}

// refuseRcpts has a server refuse some of r0, r1 and so on.
func refuseRcpts(reply string, rcpts ...int) func() func(smtptest.Command) *smtptest.Answer {
	hook := func(cmd smtptest.Command) *smtptest.Answer {
		if cmd.Verb == "RCPT" && slices.Contains(rcpts, int(cmd.Addr[1]-'0')) {
			return &smtptest.Answer{Reply: reply}
		}
		return nil
	}
	return func() func(smtptest.Command) *smtptest.Answer { return hook }
}

// RCPTDOMAINMAX bounds the domains of a session: others are for another session.
func TestRangesOfDomains(t *testing.T) {
	mixed := inDomains("a.example", "b.example", "A.example", "c.example", "b.EXAMPLE", "d.example", "a.example")
	mixed.Partial = true
	one := func(domain string) submission.Envelope { return inDomains(domain) }
	for _, c := range []struct {
		name     string
		limits   string
		envs     []submission.Envelope
		messages int
		sessions int
	}{
		{"one domain a session", "RCPTDOMAINMAX=1", []submission.Envelope{mixed}, 4, 4},
		{"two", "RCPTDOMAINMAX=2", []submission.Envelope{mixed}, 2, 2},
		{"three", "RCPTDOMAINMAX=3", []submission.Envelope{mixed}, 2, 2},
		{"enough", "RCPTDOMAINMAX=4", []submission.Envelope{mixed}, 1, 1},
		{"with two recipients", "RCPTDOMAINMAX=2 RCPTMAX=2", []submission.Envelope{mixed}, 4, 2},
		{"the same domain again", "RCPTDOMAINMAX=1", []submission.Envelope{one("a.example"), one("A.EXAMPLE"), one("a.example")}, 3, 1},
		{"another one", "RCPTDOMAINMAX=1", []submission.Envelope{one("a.example"), one("b.example"), one("b.example")}, 3, 2},
		{"one message a session", "MAILMAX=1 RCPTMAX=3", []submission.Envelope{mixed}, 3, 3},
		{"two messages a session", "MAILMAX=2 RCPTMAX=3", []submission.Envelope{mixed}, 3, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := smtptest.NewServer(&smtptest.Config{TLS: smtptest.NoTLS, Extensions: []string{"PIPELINING", "LIMITS " + c.limits}})
				defer srv.Close()
				cl := pipedClient(t, srv, submission.PoolOptions{})
				defer cl.Close()
				for _, env := range c.envs {
					if _, err := cl.Send(t.Context(), env, strings.NewReader("x\r\n")); err != nil {
						t.Error(err)
					}
				}
				if len(srv.Messages()) != c.messages || srv.Sessions() != c.sessions {
					t.Errorf("%d messages over %d sessions, want %d over %d", len(srv.Messages()), srv.Sessions(), c.messages, c.sessions)
				}
				if said(srv, "S: 452") != 0 {
					t.Errorf("%q", srv.Transcript())
				}
			})
		})
	}
	synctest.Test(t, func(t *testing.T) { // your own session cannot be exchanged
		srv := smtptest.NewServer(&smtptest.Config{TLS: smtptest.NoTLS, Extensions: []string{"PIPELINING", "LIMITS RCPTDOMAINMAX=2"}})
		defer srv.Close()
		s := openSession(t, srv.Pipe(), plainText())
		defer s.Close()
		_, err := s.Send(t.Context(), mixed, strings.NewReader("x\r\n"))
		if e := wantPartly(t, err, 5); e != nil && (!errors.Is(err, submission.ErrOutOfRange) || !strings.Contains(err.Error(), "use another session")) {
			t.Error(err)
		}
		_, err = s.Send(t.Context(), one("e.example"), strings.NewReader("x\r\n"))
		if !errors.Is(err, submission.ErrOutOfRange) {
			t.Error(err)
		}
		if _, err = s.Send(t.Context(), one("b.example"), strings.NewReader("x\r\n")); err != nil {
			t.Error(err)
		}
	})
}

// A limit that was said before TLS is forgotten (RFC 3207, 4.2), and one that a later
// EHLO names counts.
func TestRangesForgetLimits(t *testing.T) {
	srv := smtptest.NewServer(&smtptest.Config{Hook: func(cmd smtptest.Command) *smtptest.Answer {
		if cmd.Verb != "EHLO" {
			return nil
		}
		if !cmd.TLS {
			return &smtptest.Answer{Reply: "250-mail.test.example\n250-STARTTLS\n250 LIMITS RCPTMAX=1"}
		}
		return &smtptest.Answer{Reply: "250-mail.test.example\n250 LIMITS RCPTMAX=4"}
	}})
	defer srv.Close()
	c, err := submission.New(srv.Addr(), &submission.Options{TLS: submission.TLSStartTLS, TLSConfig: srv.ClientTLSConfig()})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Send(t.Context(), partialLetters(8), strings.NewReader("x\r\n")); err != nil || len(srv.Messages()) != 2 {
		t.Errorf("%v, %d messages", err, len(srv.Messages()))
	}
}

// With other sends waiting for the same session nothing is lost, and each message keeps
// its recipients.
func TestRangesUnderLoad(t *testing.T) {
	for name, keywords := range rangeWays {
		for _, says := range []string{"LIMITS", "452 4.5.3 too many"} {
			t.Run(name+"/"+says, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					srv := rangeServer{limit: 3, says: says, keywords: keywords}.start(t)
					c := pipedClient(t, srv, submission.PoolOptions{MaxSessions: 1})
					defer c.Close()
					var sends sync.WaitGroup
					for i := range 20 {
						sends.Go(func() {
							if _, err := c.Send(t.Context(), partialLetters(1+i%8), strings.NewReader(habitText(i))); err != nil {
								t.Error(err)
							}
						})
					}
					sends.Wait()
					got := map[string]map[string]int{}
					last := ""
					for _, m := range srv.Messages() {
						text := string(m.Data)
						if got[text] != nil && text != last {
							t.Errorf("another message came between the ranges of %q", text)
						}
						if last = text; got[text] == nil {
							got[text] = map[string]int{}
						}
						for _, to := range m.To {
							got[text][to]++
						}
					}
					for i := range 20 {
						rcpts := got[habitText(i)]
						if len(rcpts) != 1+i%8 {
							t.Errorf("message %d: %v", i, rcpts)
						}
						for to, n := range rcpts {
							if n != 1 {
								t.Errorf("message %d: %s has it %d times", i, to, n)
							}
						}
					}
					if st := c.Stats(); st.Sent != 20 || st.Dials != 1 {
						t.Errorf("%+v", st)
					}
				})
			})
		}
	}
}

// A message in ranges, cut after each octet in each direction: what each recipient is
// told is what the server knows.
func TestRangesCut(t *testing.T) {
	t.Parallel()
	const text = "Subject: x\r\n\r\ntext\r\n"
	cells := 0
	for name, keywords := range rangeWays {
		for _, says := range []string{"LIMITS", "452 4.5.3 too many"} {
			for _, up := range []bool{true, false} {
				total := 0
				for after := 0; total == 0 || after <= total; after += sampled(1) {
					synctest.Test(t, func(t *testing.T) {
						srv := rangeServer{limit: 2, says: says, keywords: keywords}.start(t)
						limit := smtptest.Limit{}
						if total > 0 {
							limit = smtptest.After(int64(after))
						}
						fault := smtptest.Fault{Read: limit}
						if up {
							fault = smtptest.Fault{Write: limit}
						}
						nc := fault.Wrap(srv.Pipe())
						s, err := submission.NewSession(t.Context(), nc, testHost, plainText())
						if err != nil {
							return
						}
						result, err := s.Send(t.Context(), partialLetters(5), bytes.NewReader([]byte(text)))
						if total == 0 {
							read, written := nc.Octets()
							if total, after = int(read), -sampled(1); up {
								total = int(written)
							}
						}
						s.Close()
						nc.Close()
						synctest.Wait()
						cells++
						var e *submission.SendError
						list := []submission.RecipientResult(nil)
						switch {
						case err == nil:
							list = result.Recipients
						case errors.As(err, &e):
							list = e.Recipients
						default:
							t.Fatal(err)
						}
						wantEach(t, srv, list, text)
						uncertain := countStatus(list, submission.RecipientUncertain)
						if e != nil && (e.Outcome == submission.Unknown) != (uncertain > 0) || uncertain > 2 {
							t.Errorf("%s, %s, cut after %d: %d uncertain, %v", name, says, after, uncertain, err)
						}
					})
				}
			}
		}
	}
	t.Logf("%d cells", cells)
}

// Under LMTP each range has the final replies of its recipients.
func TestRangesOfLMTP(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := smtptest.NewServer(&smtptest.Config{TLS: smtptest.NoTLS, LMTP: true, Extensions: []string{"PIPELINING", "LIMITS RCPTMAX=2"},
			Hook: func(cmd smtptest.Command) *smtptest.Answer {
				if cmd.Verb == "MESSAGE" && (cmd.Addr == "r0@test.example" || cmd.Addr == "r3@test.example") {
					return &smtptest.Answer{Reply: "452 4.2.2 mailbox full"}
				}
				return nil
			}})
		defer srv.Close()
		s := openSession(t, srv.Pipe(), plainText(withLMTP))
		defer s.Close()
		_, err := s.Send(t.Context(), partialLetters(5), strings.NewReader("x\r\n"))
		if e := wantPartly(t, err, 3); e != nil {
			wantEach(t, srv, e.Recipients, "x\r\n")
			if e.Recipients[0].Status != submission.RecipientUnsent || e.Recipients[3].Status != submission.RecipientUnsent || !e.Temporary() {
				t.Errorf("%+v", e)
			}
		}
	})
}

// Each range starts once more by itself when it meets a session that is wrong.
func TestRangesStartAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := rangeServer{limit: 2, says: "LIMITS", keywords: []string{"PIPELINING"}, hook: func() func(smtptest.Command) *smtptest.Answer {
			mails := map[int]int{}
			return func(cmd smtptest.Command) *smtptest.Answer {
				if cmd.Verb != "MAIL" {
					return nil
				}
				if mails[cmd.Session]++; mails[cmd.Session] > 1 {
					return &smtptest.Answer{Reply: "451 4.7.1 one message a session"}
				}
				return nil
			}
		}()}.start(t)
		c := pipedClient(t, srv, submission.PoolOptions{})
		defer c.Close()
		if _, err := c.Send(t.Context(), letters(1), strings.NewReader("first\r\n")); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Send(t.Context(), partialLetters(5), strings.NewReader("x\r\n")); err != nil {
			t.Fatal(err)
		}
		if st := c.Stats(); st.Restarts != 3 || st.Dials != 4 || len(srv.Messages()) != 4 {
			t.Errorf("%+v, %d messages", st, len(srv.Messages()))
		}
	})
}

// With EarlyData each range is one flight, and a server that is full takes the rest in
// the next one.
func TestRangesOfEarlyData(t *testing.T) {
	for _, says := range []string{"LIMITS", "452 4.5.3 too many"} {
		synctest.Test(t, func(t *testing.T) {
			srv := rangeServer{limit: 10, says: says, keywords: []string{"PIPELINING", "CHUNKING", "ENHANCEDSTATUSCODES"}}.start(t)
			o := plainText(func(o *submission.Options) { o.EarlyData = true })
			o.Dialer = srv
			c, err := submission.New(testHost, o)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			r, err := c.Send(t.Context(), partialLetters(35), strings.NewReader("x\r\n"))
			if err != nil {
				t.Fatal(err)
			}
			wantEach(t, srv, r.Recipients, "x\r\n")
			// The greeting and EHLO are two more.
			if n := srv.RoundTrips(); n != 4+2 || len(srv.Messages()) != 4 {
				t.Errorf("%s: %d round trips, %d messages", says, n, len(srv.Messages()))
			}
		})
	}
}
