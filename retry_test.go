package submission_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fe022423/submission"
	"github.com/fe022423/submission/smtptest"
)

// attemptAnswers are what a server says in one attempt: to MAIL, to RCPT or, under LMTP,
// finally about each recipient, to DATA and to the message. "" is a good answer, "drop" hangs
// up.
type attemptAnswers struct {
	mail, data, message string
	rcpt, final         map[string]string
}

// retried is a Client of a server that answers differently from attempt to attempt, and what
// was seen of it.
type retried struct {
	*observed
	t       *testing.T
	answers []attemptAnswers // the last one stays

	mu     sync.Mutex
	opened []time.Duration // when open was called, since the start of the test
	closed int
	waits  []int                   // the attempts that Backoff was asked about
	seen   []*submission.SendError // and their errors
	watch  func(c smtptest.Command, said string)
}

func retries(t *testing.T, answers []attemptAnswers, set ...func(*submission.Options)) *retried {
	r := &retried{t: t, answers: answers}
	var o submission.Options
	for _, f := range set {
		f(&o)
	}
	r.observed = observe(t, smtptest.Config{LMTP: o.LMTP, Hook: r.hook}, append(set, func(o *submission.Options) { o.Disable = []string{"CHUNKING"} })...)
	return r
}

// answer sets the answers from now on, and returns those up to now. Sessions that a panic left
// may still be heard.
func (r *retried) answer(a ...attemptAnswers) (before []attemptAnswers) {
	r.mu.Lock()
	defer r.mu.Unlock()
	before, r.answers = r.answers, a
	return before
}

func (r *retried) hook(c smtptest.Command) *smtptest.Answer {
	r.mu.Lock()
	defer r.mu.Unlock()
	a := r.answers[max(0, min(len(r.opened), len(r.answers))-1)]
	said := ""
	switch c.Verb {
	case "MAIL":
		said = a.mail
	case "RCPT":
		said = a.rcpt[c.Addr]
	case "DATA":
		said = a.data
	case "MESSAGE":
		if said = a.message; c.Addr != "" && said == "" {
			said = a.final[c.Addr]
		}
	}
	if r.watch != nil {
		r.watch(c, said)
	}
	switch said {
	case "":
		return nil
	case "drop":
		return &smtptest.Answer{Close: true}
	}
	return &smtptest.Answer{Reply: said + " x"}
}

// source is a message that knows whether it was closed.
type source struct {
	io.Reader
	close func() error
}

func (s source) Close() error { return s.close() }

func (r *retried) open() (io.ReadCloser, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if n := len(r.opened); r.closed != n {
		r.t.Errorf("%d of %d sources were closed before the next was opened", r.closed, n)
	}
	r.opened = append(r.opened, time.Since(r.start))
	return source{strings.NewReader(memo), func() error {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.closed++
		return errors.New("closing is of no interest")
	}}, nil
}

// backoff waits for a minute after the first attempt, two after the second, and so on.
func (r *retried) backoff(attempt int, err *submission.SendError) time.Duration {
	r.waits, r.seen = append(r.waits, attempt), append(r.seen, err)
	return time.Duration(attempt) * time.Minute
}

// send tries up to attempts times.
func (r *retried) send(attempts int, env submission.Envelope) (*submission.Result, error) {
	r.t.Helper()
	res, err := submission.Retry{Attempts: attempts, Backoff: r.backoff}.Send(r.t.Context(), r.Client, env, r.open)
	if r.closed != len(r.opened) {
		r.t.Errorf("%d of %d sources were closed", r.closed, len(r.opened))
	}
	return res, err
}

// wantAttempts checks when the message was opened, in minutes since the start.
func (r *retried) wantAttempts(minutes ...int) {
	r.t.Helper()
	var got []int
	for _, at := range r.opened {
		if at%time.Minute != 0 {
			r.t.Errorf("opened after %v", at)
		}
		got = append(got, int(at/time.Minute))
	}
	if !slices.Equal(got, minutes) {
		r.t.Errorf("opened after %v minutes, want %v", got, minutes)
	}
}

// arrived is the recipients of each message that the server has.
func (r *retried) arrived() []string {
	var all []string
	for _, m := range r.srv.Messages() {
		all = append(all, strings.Join(m.To, " "))
	}
	return all
}

const (
	addrA, addrB, addrC = "a@to.example", "b@to.example", "c@to.example"
)

func to(addr, said string, more ...string) map[string]string {
	m := map[string]string{addr: said}
	for i := 0; i+1 < len(more); i += 2 {
		m[more[i]] = more[i+1]
	}
	return m
}

// What is worth another try. Without Partial it is the whole or nothing, unless some have
// the message already.
func TestRemaining(t *testing.T) {
	for _, tt := range []struct {
		name    string
		how     string // some of "partial", "lmtp"
		answers attemptAnswers
		to      string
		outcome submission.Outcome
		want    string // "" is nothing
	}{
		{"one for now", "", attemptAnswers{rcpt: to(addrB, "450")}, addrA + " " + addrB, submission.NotSent, addrA + " " + addrB},
		{"one for good", "", attemptAnswers{rcpt: to(addrB, "550")}, addrA + " " + addrB, submission.NotSent, ""},
		{"one for now, one for good", "", attemptAnswers{rcpt: to(addrA, "450", addrB, "550")}, addrA + " " + addrB, submission.NotSent, ""},
		{"MAIL for now", "", attemptAnswers{mail: "451"}, addrA + " " + addrB, submission.NotSent, addrA + " " + addrB},
		{"MAIL for good", "", attemptAnswers{mail: "550"}, addrA, submission.NotSent, ""},
		{"message for now", "", attemptAnswers{message: "451"}, addrA + " " + addrB, submission.NotSent, addrA + " " + addrB},
		{"message for good", "", attemptAnswers{message: "554"}, addrA, submission.NotSent, ""},
		{"an end at DATA", "", attemptAnswers{data: "drop"}, addrA, submission.NotSent, addrA},
		{"an end after the message", "", attemptAnswers{message: "drop"}, addrA, submission.Unknown, ""},
		{"not an address", "", attemptAnswers{}, addrA + " b", submission.NotSent, ""},
		{"too many recipients", "", attemptAnswers{rcpt: to(addrB, "552")}, addrA + " " + addrB, submission.NotSent, addrA + " " + addrB},

		{"all kinds", "partial", attemptAnswers{rcpt: to(addrB, "450", addrC, "550")}, addrA + " " + addrB + " " + addrC, submission.PartlySent, addrB},
		{"one for good", "partial", attemptAnswers{rcpt: to(addrB, "550")}, addrA + " " + addrB, submission.PartlySent, ""},
		{"one for now, one for good", "partial", attemptAnswers{rcpt: to(addrA, "450", addrB, "550")}, addrA + " " + addrB, submission.NotSent, addrA},
		{"MAIL for now", "partial", attemptAnswers{mail: "451"}, addrA + " " + addrB, submission.NotSent, addrA + " " + addrB},
		{"MAIL for good", "partial", attemptAnswers{mail: "550"}, addrA + " " + addrB, submission.NotSent, ""},
		{"message for now, one for good", "partial", attemptAnswers{message: "451", rcpt: to(addrB, "550")}, addrA + " " + addrB, submission.NotSent, addrA},
		{"message for good, one for now", "partial", attemptAnswers{message: "554", rcpt: to(addrB, "450")}, addrA + " " + addrB, submission.NotSent, ""},
		{"an end at DATA, one for good", "partial", attemptAnswers{data: "drop", rcpt: to(addrB, "550")}, addrA + " " + addrB, submission.NotSent, addrA},
		{"an end after the message", "partial", attemptAnswers{message: "drop", rcpt: to(addrB, "450")}, addrA + " " + addrB, submission.Unknown, ""},
		{"not an address, one for now", "partial", attemptAnswers{rcpt: to(addrB, "450")}, addrA + " b " + addrB, submission.PartlySent, addrB},

		{"some have it", "lmtp", attemptAnswers{final: to(addrB, "450")}, addrA + " " + addrB, submission.PartlySent, addrB},
		{"some have it, all kinds", "lmtp", attemptAnswers{final: to(addrB, "450", addrC, "550")}, addrA + " " + addrB + " " + addrC, submission.PartlySent, addrB},
		{"some have it, one for good", "lmtp", attemptAnswers{final: to(addrB, "550")}, addrA + " " + addrB, submission.PartlySent, ""},
		{"nobody has it", "lmtp", attemptAnswers{final: to(addrA, "450", addrB, "452")}, addrA + " " + addrB, submission.NotSent, addrA + " " + addrB},
		{"nobody has it, one for good", "lmtp", attemptAnswers{final: to(addrA, "450", addrB, "550")}, addrA + " " + addrB, submission.NotSent, ""},
		{"nobody has it, one for good", "lmtp partial", attemptAnswers{final: to(addrA, "450", addrB, "550")}, addrA + " " + addrB, submission.NotSent, addrA},
		{"at RCPT for now", "lmtp", attemptAnswers{rcpt: to(addrB, "450")}, addrA + " " + addrB, submission.NotSent, addrA + " " + addrB},
		{"some have it, an end", "lmtp", attemptAnswers{final: to(addrB, "drop")}, addrA + " " + addrB, submission.Unknown, ""},
	} {
		t.Run(strings.TrimSpace(tt.how+" "+tt.name), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := retries(t, []attemptAnswers{tt.answers}, func(o *submission.Options) { o.LMTP = strings.Contains(tt.how, "lmtp") })
				env := submission.Envelope{From: "from@test.example", Partial: strings.Contains(tt.how, "partial"), Params: []string{}}
				for i, addr := range strings.Fields(tt.to) {
					env.To = append(env.To, submission.Recipient{Addr: addr, ORCPT: fmt.Sprintf("rfc822;%d@orig.example", i)})
				}
				_, err := r.Send(t.Context(), env, strings.NewReader(memo))
				e := wantOutcome(t, err, tt.outcome)
				rest, ok := e.Remaining(env)
				if ok != (tt.want != "") || !equalAddrs(rest.To, strings.Fields(tt.want)) {
					t.Fatalf("%v, %v, want %q: %v", rest.To, ok, tt.want, err)
				}
				if !ok {
					if rest.From != "" || rest.Params != nil {
						t.Errorf("%+v", rest)
					}
					return
				}
				if rest.From != env.From || rest.Partial != env.Partial || rest.Params == nil {
					t.Errorf("%+v", rest)
				}
				for _, got := range rest.To {
					if i := slices.Index(strings.Fields(tt.to), got.Addr); got.ORCPT != env.To[i].ORCPT {
						t.Errorf("%s has the options of another: %+v", got.Addr, got)
					}
				}
				rest.To[0].Addr = "z"
				if env.To[0].Addr != addrA {
					t.Error("the recipients are those of the other envelope")
				}
			})
		})
	}
}

// Remaining speaks of the envelope that was sent, and of no other. A recipient that is there
// twice counts twice.
func TestRemainingOfAnotherEnvelope(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		o := observe(t, smtptest.Config{Hook: func(c smtptest.Command) *smtptest.Answer {
			if c.Verb == "RCPT" && c.Addr == addrA {
				if n++; n == 2 {
					return &smtptest.Answer{Reply: "450 once is enough"}
				}
			}
			return nil
		}})
		env := partialTo("<"+addrA+">", addrA, addrB)
		env.To[1].Notify = submission.NotifyFailure
		_, err := o.Send(t.Context(), env, strings.NewReader(memo))
		e := wantOutcome(t, err, submission.PartlySent, statusSent, statusUnsent, statusSent)
		if rest, ok := e.Remaining(env); !ok || len(rest.To) != 1 || rest.To[0].Notify != submission.NotifyFailure {
			t.Errorf("%+v, %v", rest.To, ok)
		}
		for _, to := range [][]submission.Recipient{nil, env.To[:2], env.To[1:], append(slices.Clone(env.To), env.To[0]), {env.To[1], env.To[0], env.To[2]}, submission.To(addrA, addrA, addrB)} {
			if rest, ok := e.Remaining(submission.Envelope{From: env.From, To: to, Partial: true}); ok || rest.To != nil {
				t.Errorf("%v: %v", to, rest.To)
			}
		}
	})
	if _, ok := new(submission.SendError).Remaining(submission.Envelope{}); ok {
		t.Error("nobody is worth another try")
	}
	// One recipient that is known to be wrong stops a message that is all or nothing, also
	// where the reply that ended it would pass.
	e := &submission.SendError{Stage: submission.StageData, Reply: &submission.Reply{Code: 451}, Recipients: []submission.RecipientResult{{Addr: addrA, Status: statusInvalid}, {Addr: addrB}}}
	if rest, ok := e.Remaining(memoTo(addrA, addrB)); ok || !e.Temporary() {
		t.Errorf("%v", rest.To)
	}
	if rest, ok := e.Remaining(partialTo(addrA, addrB)); !ok || !equalAddrs(rest.To, []string{addrB}) {
		t.Errorf("%v, %v", rest.To, ok)
	}
}

// A message is tried again as long as that may help, and only then. Times are exact.
func TestRetryAttempts(t *testing.T) {
	later := attemptAnswers{mail: "451"}
	for _, tt := range []struct {
		name     string
		attempts int
		answers  []attemptAnswers
		minutes  []int
		code     int // 0: it is sent
		outcome  submission.Outcome
	}{
		{"at once", 3, []attemptAnswers{{}}, []int{0}, 0, 0},
		{"the second time", 3, []attemptAnswers{later, {}}, []int{0, 1}, 0, 0},
		{"the last time", 3, []attemptAnswers{later, later, {}}, []int{0, 1, 3}, 0, 0},
		{"too late", 3, []attemptAnswers{later, later, later, {}}, []int{0, 1, 3}, 451, 0},
		{"three times is what zero means", 0, []attemptAnswers{later, later, later, {}}, []int{0, 1, 3}, 451, 0},
		{"once", 1, []attemptAnswers{later, {}}, []int{0}, 451, 0},
		{"five times", 5, []attemptAnswers{later, later, later, later, {}}, []int{0, 1, 3, 6, 10}, 0, 0},
		{"refused for good", 3, []attemptAnswers{{mail: "550"}, {}}, []int{0}, 550, 0},
		{"refused for good then", 3, []attemptAnswers{later, {message: "554"}, {}}, []int{0, 1}, 554, 0},
		{"all kinds for now", 5, []attemptAnswers{{mail: "421"}, {data: "drop"}, {message: "452"}, {rcpt: to(addrA, "452")}, {}}, []int{0, 1, 3, 6, 10}, 0, 0},
		{"unknown", 3, []attemptAnswers{{message: "drop"}, {}}, []int{0}, -1, submission.Unknown},
		{"unknown then", 3, []attemptAnswers{later, {message: "drop"}, {}}, []int{0, 1}, -1, submission.Unknown},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := retries(t, tt.answers)
				res, err := r.send(tt.attempts, memoTo(addrA))
				r.wantAttempts(tt.minutes...)
				if tt.code == 0 {
					if err != nil || res.Recipients[0].Status != statusSent || res.Bytes != 23 || res.Reply.Code != 250 {
						t.Fatalf("%+v, %v", res, err)
					}
				} else if e := wantOutcome(t, err, tt.outcome); tt.code > 0 && e.Reply.Code != tt.code || res != nil {
					t.Errorf("%+v, %v", res, err)
				}
				var waits []int
				for i := range tt.minutes[1:] {
					waits = append(waits, i+1)
				}
				if !slices.Equal(r.waits, waits) {
					t.Errorf("Backoff was asked about the attempts %v, want %v", r.waits, waits)
				}
			})
		})
	}
}

// Result and SendError speak of the whole envelope, over all attempts: what was sent stays
// sent, what is settled stays settled, and nobody gets the message twice.
func TestRetryWholeEnvelope(t *testing.T) {
	const sent, unsent, invalid, uncertain = statusSent, statusUnsent, statusInvalid, statusUncertain
	type statuses = []submission.RecipientStatus
	all := []string{addrA, addrB, addrC}
	for _, tt := range []struct {
		name, how string
		answers   []attemptAnswers
		arrived   []string
		outcome   submission.Outcome
		stage     submission.Stage
		code      int // of the reply
		status    statuses
		codes     []int
		addresses int // *AddressErrors
	}{
		{"one after the other", "partial", []attemptAnswers{{rcpt: to(addrB, "450", addrC, "451")}, {rcpt: to(addrC, "451")}, {}},
			[]string{addrA, addrB, addrC}, 0, 0, 0, statuses{sent, sent, sent}, []int{250, 250, 250}, 0},
		{"one for good at first", "partial", []attemptAnswers{{rcpt: to(addrB, "450", addrC, "550")}, {}},
			[]string{addrA, addrB}, submission.PartlySent, submission.StageRcpt, 550, statuses{sent, sent, invalid}, []int{250, 250, 550}, 1},
		{"one for good in the end", "partial", []attemptAnswers{{rcpt: to(addrB, "450", addrC, "450")}, {rcpt: to(addrB, "550")}},
			[]string{addrA, addrC}, submission.PartlySent, submission.StageRcpt, 550, statuses{sent, invalid, sent}, []int{250, 550, 250}, 1},
		{"one for good each time", "partial", []attemptAnswers{{rcpt: to(addrA, "450", addrB, "450", addrC, "550")}, {rcpt: to(addrB, "551")}},
			[]string{addrA}, submission.PartlySent, submission.StageRcpt, 551, statuses{sent, invalid, invalid}, []int{250, 551, 550}, 2},
		{"all for good in the end", "partial", []attemptAnswers{{rcpt: to(addrA, "450", addrB, "450", addrC, "550")}, {rcpt: to(addrA, "551", addrB, "553")}},
			nil, submission.NotSent, submission.StageRcpt, 551, statuses{invalid, invalid, invalid}, []int{551, 553, 550}, 3},
		{"MAIL refused for good then", "partial", []attemptAnswers{{rcpt: to(addrB, "450", addrC, "550")}, {mail: "552"}},
			[]string{addrA}, submission.PartlySent, submission.StageMail, 552, statuses{sent, unsent, invalid}, []int{250, 450, 550}, 1},
		{"the message refused for good then", "partial", []attemptAnswers{{rcpt: to(addrB, "450", addrC, "550")}, {message: "554"}},
			[]string{addrA}, submission.PartlySent, submission.StageFinal, 554, statuses{sent, unsent, invalid}, []int{250, 250, 550}, 1},
		{"unknown then", "partial", []attemptAnswers{{rcpt: to(addrB, "450", addrC, "550")}, {message: "drop"}},
			[]string{addrA}, submission.Unknown, submission.StageFinal, 0, statuses{sent, uncertain, invalid}, []int{250, 250, 550}, 1},
		{"for now each time", "partial", []attemptAnswers{{rcpt: to(addrB, "450", addrC, "550")}, {mail: "451"}, {rcpt: to(addrB, "452")}},
			[]string{addrA}, submission.PartlySent, submission.StageRcpt, 452, statuses{sent, unsent, invalid}, []int{250, 452, 550}, 2},
		{"for now, an end each time", "partial", []attemptAnswers{{rcpt: to(addrB, "450")}, {data: "drop"}},
			[]string{addrA + " " + addrC}, submission.PartlySent, submission.StageData, 0, statuses{sent, unsent, sent}, []int{250, 250, 250}, 0},

		{"all or nothing", "", []attemptAnswers{{rcpt: to(addrB, "450")}, {rcpt: to(addrC, "450")}, {}},
			[]string{addrA + " " + addrB + " " + addrC}, 0, 0, 0, statuses{sent, sent, sent}, []int{250, 250, 250}, 0},
		{"all or nothing, one for good then", "", []attemptAnswers{{rcpt: to(addrB, "450")}, {rcpt: to(addrA, "450", addrC, "550")}},
			nil, submission.NotSent, submission.StageRcpt, 450, statuses{unsent, unsent, invalid}, []int{450, 250, 550}, 2},

		{"finals, one after the other", "lmtp", []attemptAnswers{{final: to(addrB, "450", addrC, "451")}, {final: to(addrC, "451")}, {}},
			[]string{addrA, addrB, addrC}, 0, 0, 0, statuses{sent, sent, sent}, []int{250, 250, 250}, 0},
		{"finals, one for good at first", "lmtp", []attemptAnswers{{final: to(addrB, "450", addrC, "550")}, {}},
			[]string{addrA, addrB}, submission.PartlySent, submission.StageFinal, 550, statuses{sent, sent, invalid}, []int{250, 250, 550}, 1},
		{"finals, one for good then", "lmtp", []attemptAnswers{{final: to(addrB, "450")}, {final: to(addrB, "550")}},
			[]string{addrA + " " + addrC}, submission.PartlySent, submission.StageFinal, 550, statuses{sent, invalid, sent}, []int{250, 550, 250}, 1},
		{"finals, at RCPT for good then", "lmtp", []attemptAnswers{{final: to(addrB, "450")}, {rcpt: to(addrB, "550")}},
			[]string{addrA + " " + addrC}, submission.PartlySent, submission.StageRcpt, 550, statuses{sent, invalid, sent}, []int{250, 550, 250}, 1},
		{"for now at RCPT, after one for good", "lmtp", []attemptAnswers{{final: to(addrB, "450", addrC, "550")}, {rcpt: to(addrB, "450")}},
			[]string{addrA}, submission.PartlySent, submission.StageRcpt, 450, statuses{sent, unsent, invalid}, []int{250, 450, 550}, 2},
		{"for now one of the last two, the other for good", "lmtp", []attemptAnswers{{final: to(addrB, "450", addrC, "450")}, {final: to(addrB, "550", addrC, "450")}},
			[]string{addrA}, submission.PartlySent, submission.StageFinal, 550, statuses{sent, invalid, unsent}, []int{250, 550, 450}, 2},
		{"finals, unknown then", "lmtp", []attemptAnswers{{final: to(addrB, "450", addrC, "450")}, {final: to(addrC, "drop")}},
			[]string{addrA, addrB}, submission.Unknown, submission.StageFinal, 0, statuses{sent, sent, uncertain}, []int{250, 250, 250}, 0},
	} {
		t.Run(strings.TrimSpace(tt.how+" "+tt.name), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := retries(t, tt.answers, func(o *submission.Options) { o.LMTP = tt.how == "lmtp" })
				env := memoTo(all...)
				env.Partial = tt.how == "partial"
				res, err := r.send(len(tt.answers), env)
				if got := r.arrived(); !slices.Equal(got, tt.arrived) && tt.outcome != submission.Unknown {
					t.Errorf("the server has %q, want %q", got, tt.arrived)
				}
				v := verdict{sent: tt.stage == 0, outcome: tt.outcome, stage: tt.stage, code: tt.code, status: tt.status, codes: tt.codes}
				if e := (*submission.SendError)(nil); errors.As(err, &e) {
					v.temporary = strings.HasPrefix(tt.name, "for now")
					if n := len(addressErrors(err)); n != tt.addresses {
						t.Errorf("%d recipients are named, want %d: %v", n, tt.addresses, err)
					}
					if rest, ok := e.Remaining(env); ok != v.temporary {
						t.Errorf("remaining: %v, %v", rest.To, ok)
					}
				}
				v.check(t, res, err)
				if res != nil {
					v.checkRecipients(t, res.Recipients)
					if res.Bytes != 23 || res.Reply.Code != 250 {
						t.Errorf("%+v", res)
					}
				}
				for i, e := range r.seen {
					if len(e.Recipients) != 3 || e.Recipients[0].Addr != addrA || e.Recipients[2].Addr != addrC {
						t.Errorf("Backoff saw %+v after attempt %d", e.Recipients, r.waits[i])
					}
				}
				if len(r.opened) != len(tt.answers) {
					t.Errorf("%d attempts, want %d", len(r.opened), len(tt.answers))
				}
			})
		})
	}
}

// The waits of the zero Retry: from a second on they double, and each is between half of that
// and the whole.
func TestRetryDefault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		waits := map[time.Duration]bool{}
		for range 20 {
			r := retries(t, []attemptAnswers{{mail: "451"}, {mail: "451"}, {}})
			if _, err := (submission.Retry{}).Send(t.Context(), r.Client, memoTo(addrA), r.open); err != nil {
				t.Fatal(err)
			}
			if len(r.opened) != 3 || r.opened[0] != 0 {
				t.Fatalf("opened after %v", r.opened)
			}
			for i, d := range []time.Duration{r.opened[1], r.opened[2] - r.opened[1]} {
				if whole := time.Second << i; d < whole/2 || d > whole {
					t.Errorf("wait %d is %v", i+1, d)
				}
				waits[d] = true
			}
			r.Close()
		}
		if len(waits) < 20 {
			t.Errorf("only %d different waits of 40", len(waits))
		}
		r := retries(t, []attemptAnswers{{mail: "451"}})
		if _, err := (submission.Retry{Attempts: 16}).Send(t.Context(), r.Client, memoTo(addrA), r.open); err == nil {
			t.Fatal("sent")
		}
		for i := range r.opened[1:] {
			d, whole := r.opened[i+1]-r.opened[i], min(time.Second<<i, time.Hour)
			if d < whole/2 || d > whole {
				t.Errorf("wait %d is %v, want up to %v", i+1, d, whole)
			}
		}
	})
}

// A wait that is not positive is none.
func TestRetryWithoutWaiting(t *testing.T) {
	for _, d := range []time.Duration{0, -time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			r := retries(t, []attemptAnswers{{mail: "451"}, {}})
			again := submission.Retry{Backoff: func(int, *submission.SendError) time.Duration { return d }}
			if _, err := again.Send(t.Context(), r.Client, memoTo(addrA), r.open); err != nil {
				t.Fatal(err)
			}
			r.wantAttempts(0, 0)
		})
	}
}

// A context that ends in the wait ends the waiting at once. The error is that of the last
// attempt, with the context's.
func TestRetryGivenUpInTheWait(t *testing.T) {
	for _, tt := range []struct {
		name    string
		partial bool
		answers []attemptAnswers
		outcome submission.Outcome
		status  []submission.RecipientStatus
	}{
		{"not sent", false, []attemptAnswers{{rcpt: to(addrB, "450")}}, submission.NotSent, []submission.RecipientStatus{statusUnsent, statusUnsent}},
		{"partly sent", true, []attemptAnswers{{rcpt: to(addrB, "450")}}, submission.PartlySent, []submission.RecipientStatus{statusSent, statusUnsent}},
		{"partly sent at first", true, []attemptAnswers{{rcpt: to(addrB, "450")}, {rcpt: to(addrB, "450")}}, submission.PartlySent, []submission.RecipientStatus{statusSent, statusUnsent}},
	} {
		for _, cause := range []error{context.DeadlineExceeded, errors.New("the shop closes")} {
			t.Run(tt.name+", "+cause.Error(), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					r := retries(t, tt.answers)
					env := memoTo(addrA, addrB)
					env.Partial = tt.partial
					limit := time.Minute/2 + time.Duration(len(tt.answers)-1)*time.Minute
					ctx, cancel := context.WithTimeoutCause(t.Context(), limit, cause)
					defer cancel()
					res, err := submission.Retry{Backoff: r.backoff}.Send(ctx, r.Client, env, r.open)
					verdict{outcome: tt.outcome, stage: submission.StageRcpt, code: 450, temporary: true, status: tt.status, is: cause}.check(t, res, err)
					if !errors.Is(err, context.DeadlineExceeded) || len(addressErrors(err)) != 1 {
						t.Errorf("%v", err)
					}
					wantSays(t, err, []string{"given up by the caller", "450"}, nil)
					if e := err.(*submission.SendError); r.seen[0] == e || errors.Is(r.seen[0], cause) {
						t.Error("the error that Backoff got was changed")
					}
					if took := time.Since(r.start); took != limit || len(r.opened) != len(tt.answers) {
						t.Errorf("%d attempts in %v", len(r.opened), took)
					}
				})
			})
		}
	}
}

// A context that ends in an attempt, or before the first, is not waited for.
func TestRetryGivenUpInAnAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		r := retries(t, []attemptAnswers{{}})
		again := submission.Retry{Backoff: r.backoff}
		_, err := again.Send(ctx, r.Client, memoTo(addrA), func() (io.ReadCloser, error) {
			cancel()
			return r.open()
		})
		e := wantOutcome(t, err, submission.NotSent)
		if !errors.Is(err, context.Canceled) || strings.Count(err.Error(), "given up") != 1 || !e.Temporary() || r.waits != nil || len(r.opened) != 1 || r.closed != 1 {
			t.Errorf("%d attempts, %d waits: %v", len(r.opened), len(r.waits), err)
		}
		_, err = again.Send(ctx, r.Client, memoTo(addrA), r.open)
		wantOutcome(t, err, submission.NotSent, statusUnsent)
		if !errors.Is(err, context.Canceled) || len(r.opened) != 1 || r.waits != nil {
			t.Errorf("%d attempts: %v", len(r.opened), err)
		}
		// It ends together with an attempt that fails.
		r = retries(t, []attemptAnswers{{}})
		ctx, cancel = context.WithCancel(t.Context())
		r.answer(attemptAnswers{mail: "451"})
		_, err = submission.Retry{Backoff: func(int, *submission.SendError) time.Duration { cancel(); return time.Hour }}.Send(ctx, r.Client, memoTo(addrA), r.open)
		wantOutcome(t, err, submission.NotSent, statusUnsent)
		if !errors.Is(err, context.Canceled) || len(r.opened) != 1 || time.Since(r.start) != 0 {
			t.Errorf("%d attempts: %v", len(r.opened), err)
		}
	})
}

// A message that cannot be opened is not sent; what an attempt before that sent stays sent.
func TestRetryOpenFails(t *testing.T) {
	bad := errors.New("disk on fire")
	for _, at := range []int{1, 2} {
		synctest.Test(t, func(t *testing.T) {
			r := retries(t, []attemptAnswers{{rcpt: to(addrB, "450")}, {}})
			n := 0
			res, err := submission.Retry{Backoff: r.backoff}.Send(t.Context(), r.Client, partialTo(addrA, addrB), func() (io.ReadCloser, error) {
				if n++; n == at {
					return nil, bad
				}
				return r.open()
			})
			v := verdict{stage: submission.StageMessage, is: bad, status: []submission.RecipientStatus{statusUnsent, statusUnsent}}
			if at == 2 {
				v.outcome, v.status[0] = submission.PartlySent, statusSent
			}
			v.check(t, res, err)
			if n != at || r.closed != len(r.opened) {
				t.Errorf("opened %d times", n)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		r := retries(t, []attemptAnswers{{}})
		for name, open := range map[string]func() (io.ReadCloser, error){
			"no function": nil,
			"no source":   func() (io.ReadCloser, error) { return nil, nil },
		} {
			res, err := submission.Retry{}.Send(t.Context(), r.Client, memoTo(addrA), open)
			verdict{stage: submission.StageMessage, status: []submission.RecipientStatus{statusUnsent}}.check(t, res, err)
			wantSays(t, err, []string{"nil"}, nil)
			if len(r.opened) != 0 {
				t.Errorf("%s: opened", name)
			}
		}
		r.want(t, 0, 0)
	})
}

// A source, an open or a Backoff that panics leaves nothing behind: the source is closed, and
// the Client works on.
func TestRetryPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := retries(t, []attemptAnswers{{mail: "451"}})
		boom := func() { panic("boom") }
		for name, f := range map[string]func(){
			"open": func() {
				submission.Retry{}.Send(t.Context(), r.Client, memoTo(addrA), func() (io.ReadCloser, error) { boom(); return nil, nil })
			},
			"source": func() {
				submission.Retry{}.Send(t.Context(), r.Client, memoTo(addrA), func() (io.ReadCloser, error) {
					s, _ := r.open()
					return source{readFunc(func([]byte) (int, error) { boom(); return 0, nil }), s.Close}, nil
				})
			},
			"Backoff": func() {
				submission.Retry{Backoff: func(int, *submission.SendError) time.Duration { boom(); return 0 }}.Send(t.Context(), r.Client, memoTo(addrA), r.open)
			},
		} {
			func() {
				defer func() {
					if p := recover(); p != "boom" {
						t.Errorf("%s: panic %v", name, p)
					}
				}()
				f()
			}()
		}
		if r.closed != len(r.opened) {
			t.Errorf("%d of %d sources were closed", r.closed, len(r.opened))
		}
		r.answer(attemptAnswers{})
		if err := poolSend(r.Client); err != nil {
			t.Error(err)
		}
		r.Close()
	})
}

// What cannot be sent is not tried: the message is not even opened.
func TestRetryRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := retries(t, []attemptAnswers{{}})
		_, err := submission.Retry{Attempts: -1}.Send(t.Context(), r.Client, memoTo(addrA), r.open)
		wantOutcome(t, err, submission.NotSent, statusUnsent)
		if e := wantError[*submission.OptionError](t, err); e.Option != "Retry.Attempts" {
			t.Errorf("%v", err)
		}
		_, err = submission.Retry{}.Send(t.Context(), r.Client, memoTo("nobody"), r.open)
		wantOutcome(t, err, submission.NotSent, statusInvalid)
		_, err = submission.Retry{}.Send(t.Context(), r.Client, submission.Envelope{From: "a@test.example"}, r.open)
		if !errors.Is(err, submission.ErrNoRecipients) {
			t.Errorf("%v", err)
		}
		r.Close()
		_, err = submission.Retry{}.Send(t.Context(), r.Client, memoTo(addrA), r.open)
		wantOutcome(t, err, submission.NotSent, statusUnsent)
		if !errors.Is(err, submission.ErrClosed) || len(r.opened) != 0 {
			t.Errorf("%d attempts: %v", len(r.opened), err)
		}
		r.want(t, 0, 0)
	})
}

// A Client that is closed during a wait takes no further attempt.
func TestRetryClientClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := retries(t, []attemptAnswers{{rcpt: to(addrB, "450")}})
		time.AfterFunc(time.Second, func() { r.Close() })
		res, err := r.send(3, partialTo(addrA, addrB))
		verdict{outcome: submission.PartlySent, stage: submission.StageWait, is: submission.ErrClosed, status: []submission.RecipientStatus{statusSent, statusUnsent}, codes: []int{250, 450}}.check(t, res, err)
		r.wantAttempts(0)
	})
}

// A used session that was the trouble is worth another attempt, whatever the reply says for
// itself: the next one has a fresh session. Here the source cannot be read again within an
// attempt.
func TestRetryBlamesTheSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := retries(t, []attemptAnswers{{message: "554 5.4.5 enough for this connection,"}, {}})
		if err := poolSendGood(r); err != nil {
			t.Fatal(err)
		}
		text := "Subject: long\n\n" + strings.Repeat("line\n", 50000)
		res, err := submission.Retry{Backoff: r.backoff}.Send(t.Context(), r.Client, memoTo(addrA), func() (io.ReadCloser, error) {
			s, err := r.open()
			return source{struct{ io.Reader }{strings.NewReader(text)}, s.Close}, err
		})
		if err != nil || res.Bytes != int64(len(text)+50002) {
			t.Errorf("%+v, %v", res, err)
		}
		r.wantAttempts(0, 1)
		r.want(t, 2, 2)
	})
}

// What the last attempt advises is said.
func TestRetryAdvises(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := retries(t, []attemptAnswers{{rcpt: to(addrB, "450")}, {mail: "555"}})
		_, err := r.send(3, partialTo(addrA, addrB))
		wantOutcome(t, err, submission.PartlySent, statusSent, statusUnsent)
		wantSays(t, err, []string{"partly sent", "sent with SIZE=23", "Options.Disable"}, []string{"450"})
	})
}

// poolSendGood sends a message that is no attempt.
func poolSendGood(r *retried) error {
	answers := r.answer(attemptAnswers{})
	defer r.answer(answers...)
	return poolSend(r.Client)
}

// A recipient that is not a mailbox is told with its reason, also when the attempt that found
// it out failed for another.
func TestRetryTellsWhyInvalid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := retries(t, []attemptAnswers{{mail: "451"}, {}})
		env := partialTo(addrA, "b b@to.example", addrC)
		res, err := r.send(3, env)
		verdict{outcome: submission.PartlySent, stage: submission.StageRcpt, status: []submission.RecipientStatus{statusSent, statusInvalid, statusSent}}.check(t, res, err)
		list := addressErrors(err)
		if len(list) != 1 || list[0].Addr != env.To[1].Addr || list[0].Err == nil || list[0].Reply != nil {
			t.Errorf("%v", list)
		}
		if got := r.arrived(); !slices.Equal(got, []string{addrA + " " + addrC}) {
			t.Errorf("the server has %q", got)
		}
	})
	// Nor was there a session for it.
	synctest.Test(t, func(t *testing.T) {
		r := retries(t, []attemptAnswers{{}})
		r.srv.Close()
		env := partialTo(addrA, "b b@to.example")
		env.To[1].Params = []string{"X"}
		res, err := r.send(2, env)
		verdict{stage: submission.StageGreeting, temporary: true, status: []submission.RecipientStatus{statusUnsent, statusInvalid}}.check(t, res, err)
		if list := addressErrors(err); len(list) != 1 || list[0].Err == nil {
			t.Errorf("%v: %v", list, err)
		}
		r.wantAttempts(0, 1)
	})
}

// The same address twice is two recipients: each keeps its options and its result.
func TestRetrySameAddressTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		var lines []string
		o := observe(t, smtptest.Config{Hook: func(c smtptest.Command) *smtptest.Answer {
			if c.Verb == "RCPT" {
				lines = append(lines, c.Line)
				if asked++; asked == 1 || asked == 3 {
					return &smtptest.Answer{Reply: []string{1: "450 later", 3: "550 never"}[asked]}
				}
			}
			return nil
		}})
		env := partialTo(addrA, addrA, addrA)
		for i := range env.To {
			env.To[i].ORCPT = fmt.Sprintf("rfc822;%d@orig.example", i)
		}
		res, err := submission.Retry{}.Send(t.Context(), o.Client, env, func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(memo)), nil })
		verdict{outcome: submission.PartlySent, stage: submission.StageRcpt, code: 550, status: []submission.RecipientStatus{statusSent, statusSent, statusInvalid}, codes: []int{250, 250, 550}}.check(t, res, err)
		if len(lines) != 4 || !strings.HasSuffix(lines[3], "0@orig.example") {
			t.Errorf("%q", lines)
		}
	})
}

// The envelope is that of the call: the caller may change it meanwhile.
func TestRetryEnvelopeIsCopied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := retries(t, []attemptAnswers{{rcpt: to(addrB, "450")}, {}})
		env := partialTo(addrA, addrB)
		res, err := submission.Retry{Backoff: func(int, *submission.SendError) time.Duration {
			env.To[0].Addr, env.To[1].Addr = "y@to.example", "z@to.example"
			return 0
		}}.Send(t.Context(), r.Client, env, r.open)
		if err != nil || res.Recipients[0].Addr != addrA || res.Recipients[1].Addr != addrB {
			t.Fatalf("%+v, %v", res, err)
		}
		if got := r.arrived(); !slices.Equal(got, []string{addrA, addrB}) {
			t.Errorf("the server has %q", got)
		}
	})
}
