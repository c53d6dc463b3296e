package submission_test

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/fe022423/submission"
	"github.com/fe022423/submission/smtptest"
)

// retryDice decides what a server says in up to four attempts.
type retryDice []byte

func (d *retryDice) pick(of ...string) string {
	if len(*d) == 0 {
		return ""
	}
	b := (*d)[0]
	*d = (*d)[1:]
	return of[int(b)%len(of)]
}

func (d *retryDice) attempt() attemptAnswers {
	a := attemptAnswers{rcpt: map[string]string{}, final: map[string]string{}}
	a.mail = d.pick("", "", "", "", "451", "421", "550", "drop")
	a.data = d.pick("", "", "", "", "", "451", "554", "drop")
	a.message = d.pick("", "", "", "", "", "451", "554", "drop")
	for _, addr := range []string{addrA, addrB, addrC} {
		a.rcpt[addr] = d.pick("", "", "450", "550", "552", "421")
		a.final[addr] = d.pick("", "", "450", "550", "drop")
	}
	return a
}

// FuzzRetry: whatever a server says from attempt to attempt, what Retry says of the whole
// envelope is what became of it. Nobody gets the message twice, nobody who is known to be
// refused for good is asked again, an attempt that may have been accepted is the last, and what was all
// or nothing stays so.
func FuzzRetry(f *testing.F) {
	chance := rand.New(rand.NewPCG(1, 2))
	for range 600 {
		in := make([]byte, 37)
		for i := range in {
			in[i] = byte(chance.Uint32())
		}
		f.Add(in)
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		if len(in) > 100 {
			return
		}
		synctest.Test(t, func(t *testing.T) { retryOnce(t, in) })
	})
}

func retryOnce(t *testing.T, in []byte) {
	d := retryDice(in)
	mode := d.pick("", "partial", "lmtp", "lmtp partial")
	var answers []attemptAnswers
	for range 4 {
		answers = append(answers, d.attempt())
	}
	r := retries(t, answers, func(o *submission.Options) { o.LMTP = strings.HasPrefix(mode, "lmtp") })
	dropped := 0
	r.watch = func(c smtptest.Command, said string) {
		n := len(r.opened)
		if c.Verb == "RCPT" && n > 1 {
			for _, was := range r.seen[n-2].Recipients {
				if was.Addr == c.Addr && was.Status != submission.RecipientUnsent {
					t.Errorf("%s was %v after attempt %d, and is asked for in the next", c.Addr, was.Status, n-1)
				}
			}
		}
		if c.Verb == "MESSAGE" && said == "drop" {
			dropped = n
		}
	}
	env := memoTo(addrA, addrB, addrC)
	env.Partial = strings.HasSuffix(mode, "partial")
	res, err := r.send(len(answers), env)
	arrived := map[string]int{}
	for _, m := range r.srv.Messages() {
		for _, addr := range m.To {
			arrived[addr]++
		}
		if mode == "" && len(m.To) != 3 {
			t.Errorf("all or nothing, and the server has it for %q", m.To)
		}
	}
	if dropped > 0 && len(r.opened) != dropped {
		t.Errorf("attempt %d may have been accepted, and %d were made", dropped, len(r.opened))
	}
	checkRetryTruth(t, env, res, err, arrived)
	var e *submission.SendError
	if errors.As(err, &e) {
		if rest, ok := e.Remaining(env); ok && len(r.opened) != len(answers) {
			t.Errorf("%d attempts of %d, and %v remain: %v", len(r.opened), len(answers), rest.To, err)
		}
	}
}

// checkRetryTruth holds what was said against what arrived.
func checkRetryTruth(t *testing.T, env submission.Envelope, res *submission.Result, err error, arrived map[string]int) {
	t.Helper()
	var e *submission.SendError
	if err != nil {
		checkErrorText(t, err)
		e = err.(*submission.SendError)
	}
	if (res != nil) != (e == nil || e.Outcome == submission.PartlySent) {
		t.Errorf("result %+v beside %v", res, err)
	}
	list := []submission.RecipientResult(nil)
	if e != nil {
		list = e.Recipients
	} else {
		list = res.Recipients
	}
	if len(list) != len(env.To) {
		t.Fatalf("%d recipients", len(list))
	}
	some := false
	for i, r := range list {
		n := arrived[r.Addr]
		some = some || r.Status == submission.RecipientSent
		switch {
		case r.Addr != env.To[i].Addr, n > 1,
			r.Status == submission.RecipientSent && n != 1,
			r.Status != submission.RecipientSent && n != 0 && r.Status != submission.RecipientUncertain,
			r.Status == submission.RecipientUncertain && e.Outcome != submission.Unknown,
			r.Status != submission.RecipientSent && e == nil:
			t.Errorf("%s is %v with %v, and arrived %d times: %v", r.Addr, r.Status, r.Reply, n, err)
		}
	}
	if e != nil && some != (e.Outcome == submission.PartlySent) && e.Outcome != submission.Unknown {
		t.Errorf("%v of %v", e.Outcome, list)
	}
}
