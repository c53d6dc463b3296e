package submission_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
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

const (
	statusInvalid   = submission.RecipientInvalid
	statusUncertain = submission.RecipientUncertain
)

func withLMTP(o *submission.Options) { o.LMTP = true }

// lhlo is greeted for a server of LMTP.
func lhlo(keywords ...string) string {
	return strings.Replace(greeted(keywords...), "C: EHLO", "C: LHLO", 1)
}

// letters is an envelope for n recipients: r0@test.example and so on.
func letters(n int) submission.Envelope {
	env := submission.Envelope{From: "a@test.example"}
	for i := range n {
		env.To = append(env.To, submission.To(fmt.Sprintf("r%d@test.example", i))...)
	}
	return env
}

// missing is the end of a vector of final replies: the server hangs up there.
const missing = "-"

// finalsCase is a message of LMTP whose final replies are those of a vector, and perhaps
// one more.
type finalsCase struct {
	finals  []string
	extra   string
	chunked bool
	silent  bool // what is missing is waited for
}

func (c finalsCase) String() string {
	how := map[bool]string{false: "DATA", true: "BDAT"}[c.chunked]
	return strings.TrimSuffix(fmt.Sprintf("%s/%s/%s", how, strings.Join(c.finals, ","), c.extra), "/")
}

// hook has a server answer so.
func (c finalsCase) hook(cmd smtptest.Command) *smtptest.Answer {
	if cmd.Verb != "MESSAGE" {
		return nil
	}
	i := int(cmd.Addr[1] - '0')
	switch reply := c.finals[i]; {
	case slices.Contains(c.finals[:i+1], missing):
		return &smtptest.Answer{Close: !c.silent}
	case c.extra != "" && i == len(c.finals)-1:
		return &smtptest.Answer{Reply: reply + " x", Raw: []byte(c.extra + " x\r\n")}
	default:
		return &smtptest.Answer{Reply: reply + " x"}
	}
}

// forgotten tells whether the reply too many leaves nothing to believe.
func (c finalsCase) forgotten() bool {
	all := append(slices.Clone(c.finals), c.extra)
	positive := func(code string) bool { return code[0] == '2' }
	switch {
	case c.extra == "":
		return false
	case len(c.finals) > 1:
		return slices.ContainsFunc(all, positive) && slices.ContainsFunc(all, func(code string) bool { return !positive(code) })
	}
	return c.chunked && positive(all[0]) && !positive(all[1]) // as without LMTP
}

// status is what must become of each recipient.
func (c finalsCase) status() (list []submission.RecipientStatus) {
	lost := c.forgotten()
	for _, code := range c.finals {
		lost = lost || code == missing
		switch {
		case lost:
			list = append(list, statusUncertain)
		case code[0] == '2':
			list = append(list, statusSent)
		case code[0] == '5':
			list = append(list, statusInvalid)
		default:
			list = append(list, statusUnsent)
		}
	}
	return list
}

func (c finalsCase) check(t *testing.T, res *submission.Result, err error) {
	t.Helper()
	status := c.status()
	has := func(s submission.RecipientStatus) bool { return slices.Contains(status, s) }
	if !has(statusUncertain) && !has(statusUnsent) && !has(statusInvalid) {
		verdict{sent: true, status: status}.check(t, res, err)
		return
	}
	e := wantError[*submission.SendError](t, err)
	verdict{status: status}.checkRecipients(t, e.Recipients)
	outcome := submission.NotSent
	switch {
	case has(statusUncertain):
		outcome = submission.Unknown
	case has(statusSent):
		outcome = submission.PartlySent
	}
	if e.Outcome != outcome || e.Stage != submission.StageFinal || (res != nil) != (outcome == submission.PartlySent) {
		t.Errorf("outcome %v at %v, result %v, want %v: %v", e.Outcome, e.Stage, res, outcome, err)
	}
	if outcome == submission.Unknown {
		if e.Reply != nil || e.Temporary() {
			t.Errorf("reply %v, temporary %v", e.Reply, e.Temporary())
		}
		return
	}
	first := slices.IndexFunc(c.finals, func(code string) bool { return code[0] != '2' })
	if e.Reply == nil || fmt.Sprint(e.Reply.Code) != c.finals[first] {
		t.Errorf("reply %v, want %s", e.Reply, c.finals[first])
	}
	// To send all of it again helps when that may help each; when some have it, when it
	// may help one of the others.
	temporary := !has(statusInvalid)
	if outcome == submission.PartlySent {
		temporary = has(statusUnsent)
	}
	if e.Temporary() != temporary {
		t.Errorf("temporary %v, want %v: %v", e.Temporary(), temporary, err)
	}
	refused := 0
	for _, code := range c.finals {
		if code[0] != '2' {
			refused++
		}
	}
	if list := addressErrors(err); len(list) != refused {
		t.Errorf("%d address errors, want %d: %v", len(list), refused, err)
	}
	if res != nil && (fmt.Sprint(res.Recipients) != fmt.Sprint(e.Recipients) || res.Reply.Code != 250) {
		t.Errorf("the result is %+v", res)
	}
}

// wantDelivered holds what was said of each recipient against what the server did.
func wantDelivered(t *testing.T, list []submission.RecipientResult, to []string) {
	t.Helper()
	for _, r := range list {
		has := slices.Contains(to, r.Addr)
		if r.Status == statusSent && !has || (r.Status == statusInvalid || r.Status == statusUnsent) && has {
			t.Errorf("%s is %v; the server has it: %v", r.Addr, r.Status, has)
		}
	}
}

// recipientsOf returns the recipients of a result and of an error that may be nil.
func recipientsOf(res *submission.Result, err error) []submission.RecipientResult {
	if failed := (*submission.SendError)(nil); errors.As(err, &failed) {
		return failed.Recipients
	}
	return res.Recipients
}

// vectors are all lists of n of the words.
func vectors(n int, words ...string) [][]string {
	if n == 0 {
		return [][]string{nil}
	}
	var all [][]string
	for _, rest := range vectors(n-1, words...) {
		for _, w := range words {
			all = append(all, append(slices.Clone(rest), w))
		}
	}
	return all
}

// Every final reply for every recipient, missing ones and one too many, against a server
// that knows for whom it accepted.
func TestLMTPFinals(t *testing.T) {
	var cases []finalsCase
	for _, chunked := range []bool{false, true} {
		for n := 1; n <= 3; n++ {
			for _, v := range vectors(n, "250", "450", "550", "421", missing) {
				cases = append(cases, finalsCase{finals: v, chunked: chunked})
				if slices.Contains(v, missing) && !slices.Contains(v, "421") {
					cases = append(cases, finalsCase{finals: v, chunked: chunked, silent: true})
				}
			}
			for _, v := range vectors(n, "250", "450", "550") {
				for _, extra := range []string{"250", "450", "550"} {
					cases = append(cases, finalsCase{finals: v, extra: extra, chunked: chunked})
				}
			}
		}
	}
	for _, c := range cases {
		t.Run(c.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { c.run(t) })
		})
	}
}

func (c finalsCase) run(t *testing.T) {
	srv := smtptest.NewServer(&smtptest.Config{LMTP: true, TLS: smtptest.NoTLS, Hook: c.hook,
		Extensions: slices.DeleteFunc([]string{"PIPELINING", "ENHANCEDSTATUSCODES", "CHUNKING"}, func(k string) bool { return k == "CHUNKING" && !c.chunked })})
	defer srv.Close()
	s := openSession(t, srv.Pipe(), plainText(withLMTP))
	start := time.Now()
	res, err := send(s, letters(len(c.finals)))
	switch took := time.Since(start); {
	case c.silent && took != 10*time.Minute:
		t.Errorf("it took %v, want what one final reply may take", took)
	case !c.silent && took > time.Second:
		t.Errorf("it took %v", took)
	}
	c.check(t, res, err)
	usable := s.Usable()
	s.Close()
	srv.Close()
	var to []string
	for _, m := range srv.Messages() {
		to = append(to, m.To...)
	}
	wantDelivered(t, recipientsOf(res, err), to)
	over := c.extra != "" || slices.ContainsFunc(c.finals, func(code string) bool { return code == "421" || code == missing }) ||
		c.chunked && !slices.Contains(c.finals, "250") // a chunk that nobody got
	if usable == over {
		t.Errorf("usable %v, want %v", usable, !over)
	}
}

// A session of LMTP, as the bytes of a script: the final replies come in the order of the
// recipients that were accepted, and the session serves the next message.
func TestLMTPSession(t *testing.T) {
	const three = "C: MAIL FROM:<a@test.example>\nC: RCPT TO:<r0@test.example>\nC: RCPT TO:<r1@test.example>\nC: RCPT TO:<r2@test.example>\n"
	const said = "S: 250 ok\nS: 250 ok\nS: 550 5.1.1 who\nS: 250 ok\n"
	const finals = "S: 452 4.2.2 over quota\nS: 250 2.1.5 r2 has it\n"
	const next = "C: MAIL FROM:<a@test.example>\nC: RCPT TO:<r0@test.example>\n"
	for name, script := range map[string]string{
		"DATA": lhlo("PIPELINING") + three + "C: DATA\n" + said + "S: 354 go\n" + memoData + finals +
			next + "C: DATA\nS: 250 ok\nS: 250 ok\nS: 354 go\n" + memoData + "S: 250 ok" + quit,
		"BDAT": lhlo("PIPELINING", "CHUNKING", "ENHANCEDSTATUSCODES") + three + said + memoBDAT + finals +
			next + "S: 250 ok\nS: 250 ok\n" + memoBDAT + "S: 250 2.1.5 ok" + quit,
	} {
		eachDelivery(t, func(t *testing.T, delivery string) {
			t.Run(name, func(t *testing.T) {
				s := openSession(t, play(t, delivery, script), plainText(withLMTP))
				env := letters(3)
				env.Partial = true
				res, err := send(s, env)
				e := wantOutcome(t, err, submission.PartlySent, statusUnsent, statusInvalid, statusSent)
				// The first refusal is the one that came first.
				if e.Stage != submission.StageRcpt || e.Reply == nil || e.Reply.Code != 550 || !e.Temporary() {
					t.Errorf("at %v, reply %v, temporary %v", e.Stage, e.Reply, e.Temporary())
				}
				verdict{codes: []int{452, 550, 250}}.checkRecipients(t, res.Recipients)
				if res.Reply.String() != "250 2.1.5 r2 has it" {
					t.Errorf("the result's reply is %v", res.Reply)
				}
				mustSend(t, s, letters(1))
				s.Close()
			})
		})
	}
}

// What an error of LMTP says.
func TestLMTPErrorText(t *testing.T) {
	for finals, want := range map[string]string{
		"S: 250 ok\nS: 452 4.2.2 full\n":    "submission: final reply: partly sent: recipient r1@test.example refused: server says 452 4.2.2 full",
		"S: 550 5.1.1 who\nS: 452 full\n":   "submission: final reply: not sent: recipient r0@test.example refused: server says 550 5.1.1 who; final reply: recipient r1@test.example refused: server says 452 full",
		"S: 550 5.1.1 who\nclose\n":         "submission: final reply: outcome unknown: recipient r0@test.example refused: server says 550 5.1.1 who; the server closed the connection: EOF",
		"S: 250 ok\nS: 354 go on\n":         "submission: final reply: outcome unknown: unexpected 354 go on",
		"S> 250 ok\\r\\n550\\r\\n250\\r\\n": "submission: final reply: outcome unknown: a reply too many: 250",
	} {
		script := lhlo("PIPELINING") + "C: MAIL FROM:<a@test.example>\nC: RCPT TO:<r0@test.example>\nC: RCPT TO:<r1@test.example>\nS: 250 ok\nS: 250 ok\nS: 250 ok\nC: DATA\nS: 354 go\n" + memoData
		s := openSession(t, smtptest.Play(t, script+strings.TrimSuffix(finals, "\n")), plainText(withLMTP, func(o *submission.Options) { o.NoQuitWait = true }))
		_, err := send(s, letters(2))
		if err == nil || err.Error() != want {
			t.Errorf("%v\nwant %s", err, want)
		}
		if a := addressErrors(err); len(a) > 0 && !strings.HasPrefix(a[0].Error(), "submission: final reply: recipient ") {
			t.Errorf("the cause is %v", a[0])
		}
	}
}

// LMTP has no greeting but LHLO.
func TestLHLO(t *testing.T) {
	const sent = "S: 220 hi\nC: LHLO client.test.example\n"
	for _, r := range []refusal{
		{name: "500", script: sent + "S: 500 5.5.1 what" + quit, code: 500, text: "perhaps an SMTP server: Options.LMTP is set"},
		{name: "502", script: sent + "S: 502 what" + quit, code: 502, text: "perhaps an SMTP server: Options.LMTP is set"},
		{name: "504", script: sent + "S: 504 what" + quit, code: 504},
		{name: "550", script: sent + "S: 550 not you" + quit, code: 550},
		{name: "450", script: sent + "S: 450 later" + quit, code: 450, temporary: true},
		{name: "354", script: sent + "S: 354 go on\neof", code: 354, protocol: true},
	} {
		r.stage, r.options = submission.StageHello, plainText(withLMTP)
		r.run(t)
	}
	refusal{name: "an LMTP server without LMTP", stage: submission.StageHello, code: 500, text: "perhaps it is an LMTP server: Options.LMTP",
		script: hello + "S: 500 what\nC: HELO client.test.example\nS: 500 what" + quit}.run(t)
	for name, o := range map[string]*submission.Options{"LMTP and HELO": plainText(withLMTP, withHELO)} {
		_, err := submission.New(testHost, o)
		if e := wantError[*submission.OptionError](t, err); e.Option != "HELO" {
			t.Errorf("%s: %v", name, err)
		}
		nc := smtptest.Play(t, "eof")
		if _, err := submission.NewSession(t.Context(), nc, testHost, o); err == nil {
			t.Errorf("%s: no error of NewSession", name)
		}
	}
}

// Hints that speak of submission are not for LMTP.
func TestLMTPHints(t *testing.T) {
	for script, has := range map[string]string{
		"S: 220 hi\nC: LHLO client.test.example\nS: 250 mail" + quit: "may have removed it|TLSNone",
		"S! * OK ready\neof": "IMAP server|check the host and the port",
	} {
		_, err := submission.NewSession(t.Context(), smtptest.Play(t, script), testHost, plainText(withLMTP, withTLS(submission.TLSStartTLS)))
		wantSays(t, err, words(has), []string{"465", "587"})
	}
}

// A long message is streamed, and prepared, as with SMTP.
func TestLMTPLong(t *testing.T) {
	for name, extensions := range carriers {
		srv := smtptest.NewServer(&smtptest.Config{LMTP: true, TLS: smtptest.NoTLS, Extensions: extensions, Hook: func(c smtptest.Command) *smtptest.Answer {
			if c.Verb == "MESSAGE" && c.Addr == "r1@test.example" {
				return &smtptest.Answer{Reply: "552 5.2.2 full"}
			}
			return nil
		}})
		c, err := submission.New(srv.Addr(), plainText(withLMTP, func(o *submission.Options) { o.ChunkSize = 50 << 10 }))
		if err != nil {
			t.Fatal(err)
		}
		tx, err := c.Begin(t.Context(), letters(3))
		if err != nil {
			t.Fatal(err)
		}
		mustWrite(t, tx, long)
		if err := tx.Prepare(); err != nil {
			t.Fatal(err)
		}
		if len(srv.Messages()) != 0 {
			t.Errorf("%s: the message is there before Commit", name)
		}
		res, err := tx.Commit()
		wantOutcome(t, err, submission.PartlySent, statusSent, statusInvalid, statusSent)
		if m := srv.Messages(); len(m) != 1 || string(m[0].Data) != long || len(m[0].To) != 2 || res == nil || res.Bytes != int64(len(long)) {
			t.Errorf("%s: %d messages, %+v", name, len(m), res)
		}
		c.Close()
		srv.Close()
	}
}

// Without a port LMTP is dialed at 24.
func TestLMTPPort(t *testing.T) {
	for _, mode := range []submission.TLSMode{submission.TLSAuto, submission.TLSNone} {
		var dialed string
		o := &submission.Options{LMTP: true, TLS: mode, Dialer: dialFunc(func(_ context.Context, _, addr string) (net.Conn, error) {
			dialed = addr
			return nil, errors.New("no")
		})}
		c, err := submission.New(testHost, o)
		if err != nil {
			t.Fatal(err)
		}
		c.Ping(t.Context())
		if c.Close(); dialed != testHost+":24" {
			t.Errorf("%v: dialed %s", mode, dialed)
		}
	}
}

// LMTP with STARTTLS and AUTH: LHLO goes out again.
func TestLMTPSecured(t *testing.T) {
	srv := smtptest.NewServer(&smtptest.Config{LMTP: true, Accounts: map[string]string{"me": "a secret"}, RequireAuth: true})
	defer srv.Close()
	c, err := submission.New(srv.Addr(), &submission.Options{LMTP: true, TLSConfig: srv.ClientTLSConfig(), Auth: submission.Password{Username: "me", Password: "a secret"}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Send(t.Context(), letters(3), strings.NewReader(memo)); err != nil {
		t.Fatal(err)
	}
	if m := srv.Messages(); len(m) != 1 || len(m[0].To) != 3 || !m[0].TLS || m[0].Auth != "me" {
		t.Errorf("%+v", m)
	}
}

// Only a message with one recipient shares the flight of its envelope.
func TestLMTPEarlyData(t *testing.T) {
	for n, roundTrips := range map[int]int{1: 1, 2: 2} {
		for _, partial := range []bool{false, true} {
			srv := smtptest.NewServer(&smtptest.Config{LMTP: true, TLS: smtptest.NoTLS})
			s := openSession(t, srv.Pipe(), plainText(withLMTP, withEarlyData))
			before := srv.RoundTrips()
			env := letters(n)
			env.Partial = partial
			mustSend(t, s, env)
			if got := srv.RoundTrips() - before; got != roundTrips {
				t.Errorf("%d recipients, partial %v: %d round trips, want %d", n, partial, got, roundTrips)
			}
			s.Close()
			srv.Close()
		}
	}
}

// fate is the reply of a server to the message for a recipient, by its name.
func fate(addr string) string {
	switch name, _, _ := strings.Cut(addr, "-"); name {
	case "full":
		return "452 4.2.2 over quota"
	case "gone":
		return "550 5.1.1 no such mailbox"
	}
	return ""
}

// Many senders share a few sessions, with recipients whose mailboxes are full or gone:
// each is told what is true of its own recipients.
func TestLMTPSharedFlights(t *testing.T) {
	t.Parallel()
	for name, extensions := range carriers {
		for _, most := range []int{1, 3} { // recipients of a message
			t.Run(fmt.Sprintf("%s, up to %d recipients", name, most), func(t *testing.T) {
				srv := smtptest.NewServer(&smtptest.Config{LMTP: true, TLS: smtptest.NoTLS, Extensions: append(slices.Clone(extensions), "ENHANCEDSTATUSCODES"),
					Hook: func(c smtptest.Command) *smtptest.Answer {
						if c.Verb == "RCPT" && strings.HasPrefix(c.Addr, "who-") {
							return &smtptest.Answer{Reply: "550 5.1.1 who"}
						}
						if reply := fate(c.Addr); c.Verb == "MESSAGE" && reply != "" {
							return &smtptest.Answer{Reply: reply}
						}
						return nil
					}})
				defer srv.Close()
				o := plainText(withLMTP, withPool(submission.PoolOptions{MaxSessions: 2, MaxMessages: 1 << 20}))
				c, err := submission.New(srv.Addr(), o)
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				var wg sync.WaitGroup
				var mu sync.Mutex
				told := map[string][]submission.RecipientResult{}
				for i := range 16 {
					wg.Go(func() {
						for j := range 12 {
							id := fmt.Sprintf("%d-%d@test.example", i, j)
							env := submission.Envelope{From: "from-" + id, Partial: true}
							for k := range 1 + (i+j)%most {
								kind := []string{"ok-", "full-", "gone-", "who-", "ok-"}[(i+2*j+3*k)%5]
								env.To = append(env.To, submission.To(fmt.Sprintf("%s%d-%s", kind, k, id))...)
							}
							res, err := c.Send(context.Background(), env, strings.NewReader(memo))
							list := recipientsOf(res, err)
							mu.Lock()
							told[env.From] = list
							mu.Unlock()
							for _, r := range list {
								if r.Status == statusUncertain {
									t.Errorf("%s is uncertain: %v", r.Addr, err)
								}
							}
						}
					})
				}
				wg.Wait()
				c.Close()
				srv.Close()
				delivered := map[string][]string{}
				for _, m := range srv.Messages() {
					if delivered[m.From] != nil {
						t.Errorf("the message from %s came twice", m.From)
					}
					delivered[m.From] = m.To
				}
				for from, list := range told {
					wantDelivered(t, list, delivered[from])
					for _, r := range list {
						if want := fate(r.Addr); want != "" && r.Reply.String() != want {
							t.Errorf("%s: reply %v, want %s", r.Addr, r.Reply, want)
						}
					}
				}
			})
		}
	}
}

// Where messages with one recipient wait, each takes one round trip, as without LMTP.
func TestLMTPRide(t *testing.T) {
	for _, n := range []int{1, 2} {
		synctest.Test(t, func(t *testing.T) {
			srv := smtptest.NewServer(&smtptest.Config{LMTP: true, TLS: smtptest.NoTLS, Extensions: []string{"PIPELINING", "CHUNKING"}})
			defer srv.Close()
			o := plainText(withLMTP, withPool(submission.PoolOptions{MaxSessions: 1}))
			o.Dialer = dialFunc(func(context.Context, string, string) (net.Conn, error) { return srv.Pipe(), nil })
			c, err := submission.New(testHost, o)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			ahead, err := c.Begin(t.Context(), letters(n))
			if err != nil {
				t.Fatal(err)
			}
			if err := ahead.Prepare(); err != nil {
				t.Fatal(err)
			}
			done := make(chan error)
			go func() {
				_, err := c.Send(context.Background(), letters(n), strings.NewReader(memo))
				done <- err
			}()
			synctest.Wait()
			before := srv.RoundTrips()
			mustCommit(t, ahead)
			if err := <-done; err != nil {
				t.Error(err)
			}
			if got := srv.RoundTrips() - before; got != n+1 {
				t.Errorf("%d recipients: %d round trips for both, want %d", n, got, n+1)
			}
		})
	}
}

// A server that gives one final reply where several are due: what it says to the send that
// waits is not taken for one of the others.
func TestLMTPOneReplyForAll(t *testing.T) {
	for name, extensions := range carriers {
		synctestRun(t, name, func(t *testing.T) {
			srv := smtptest.NewServer(&smtptest.Config{LMTP: true, TLS: smtptest.NoTLS, Extensions: extensions, Hook: func(c smtptest.Command) *smtptest.Answer {
				switch {
				case c.Verb == "CONNECT":
					return &smtptest.Answer{Reply: "220 hi", Delay: time.Second} // the second send waits from the start
				case c.Verb != "MESSAGE":
					return nil
				case c.Addr == "r0@test.example":
					return &smtptest.Answer{Reply: "554 5.6.0 not for anybody"}
				}
				return &smtptest.Answer{}
			}})
			defer srv.Close()
			o := plainText(withLMTP, withPool(submission.PoolOptions{MaxSessions: 1}))
			o.Dialer = dialFunc(func(context.Context, string, string) (net.Conn, error) { return srv.Pipe(), nil })
			c, err := submission.New(testHost, o)
			if err != nil {
				t.Fatal(err)
			}
			var wg sync.WaitGroup
			for range 3 {
				wg.Go(func() {
					start := time.Now()
					_, err := c.Send(context.Background(), letters(2), strings.NewReader(memo))
					wantOutcome(t, err, submission.Unknown, statusInvalid, statusUncertain)
					if took := time.Since(start); took < 10*time.Minute {
						t.Errorf("it took %v", took)
					}
				})
			}
			wg.Wait()
			c.Close()
		})
	}
}

// A session of LMTP is cut after every octet, in either direction: what is said of each
// recipient is what the server did.
func TestLMTPCutSweep(t *testing.T) {
	t.Parallel()
	for name, extensions := range carriers {
		t.Run(name, func(t *testing.T) {
			cut := func(fault smtptest.Fault) (read, written int64) {
				synctest.Test(t, func(t *testing.T) { read, written = lmtpCell(t, extensions, fault) })
				return read, written
			}
			read, written := cut(smtptest.Fault{})
			for _, n := range points(read, false) {
				cut(smtptest.Fault{Read: smtptest.After(n)})
				cut(smtptest.Fault{Read: smtptest.After(n), Mode: smtptest.Stall})
			}
			for _, n := range points(written, false) {
				cut(smtptest.Fault{Write: smtptest.After(n)})
				cut(smtptest.Fault{Write: smtptest.After(n), Mode: smtptest.FalseError})
			}
		})
	}
}

// lmtpCell sends to four recipients, of which one is refused at RCPT, one by its final
// reply.
func lmtpCell(t *testing.T, extensions []string, fault smtptest.Fault) (read, written int64) {
	srv := smtptest.NewServer(&smtptest.Config{LMTP: true, TLS: smtptest.NoTLS, Extensions: extensions, Hook: func(c smtptest.Command) *smtptest.Answer {
		switch {
		case c.Verb == "RCPT" && c.Addr == "r0@test.example", c.Verb == "MESSAGE" && c.Addr == "r2@test.example":
			return &smtptest.Answer{Reply: "550 no"}
		}
		return nil
	}})
	committed := false
	nc := fault.Wrap(srv.Pipe())
	env := letters(4)
	env.Partial = true
	s, err := submission.NewSession(t.Context(), nc, testHost, plainText(withLMTP, func(o *submission.Options) {
		o.Trace = &submission.Trace{
			Received: func(_ context.Context, _ submission.SessionInfo, r submission.Reply) {
				committed = committed || r.Code == 354
			},
			Sent: func(_ context.Context, _ submission.SessionInfo, line string) {
				committed = committed || strings.HasPrefix(line, "BDAT")
			},
		}
	}))
	var res *submission.Result
	if err == nil {
		res, err = s.Send(t.Context(), env, bytes.NewReader([]byte(memo)))
		s.Close()
	}
	nc.Close()
	read, written = nc.Octets()
	srv.Close()
	var to []string
	for _, m := range srv.Messages() {
		to = append(to, m.To...)
	}
	failed := (*submission.SendError)(nil)
	if !errors.As(err, &failed) {
		if err == nil || len(to) > 0 {
			t.Errorf("%+v: %v, delivered to %v", fault, err, to)
		}
		return read, written
	}
	wantDelivered(t, failed.Recipients, to)
	for _, r := range failed.Recipients {
		if r.Status == statusUncertain && (!committed || failed.Outcome != submission.Unknown) {
			t.Errorf("%+v: %s is uncertain, committed %v: %v", fault, r.Addr, committed, err)
		}
	}
	if res != nil {
		verdict{status: []submission.RecipientStatus{statusInvalid, statusSent, statusInvalid, statusSent}}.checkRecipients(t, res.Recipients)
	}
	if fault == (smtptest.Fault{}) && res == nil {
		t.Errorf("the session does not succeed uncut: %v", err)
	}
	return read, written
}
