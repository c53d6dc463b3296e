package submission

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"

	"github.com/fe022423/submission/internal/link"
	"github.com/fe022423/submission/internal/smtpwire"
	"github.com/fe022423/submission/internal/transfer"
)

// What became of a recipient, by the reply to its RCPT, where the message was sent to
// another one, was not sent, or may have been sent.
func TestRecipientStatus(t *testing.T) {
	for code, want := range map[int][3]RecipientStatus{
		250: {RecipientSent, RecipientUnsent, RecipientUncertain},
		251: {RecipientSent, RecipientUnsent, RecipientUncertain},
		0:   {RecipientUnsent, RecipientUnsent, RecipientUncertain},
		421: {RecipientUnsent, RecipientUnsent, RecipientUnsent}, // says nothing about the address
		221: {RecipientUnsent, RecipientUnsent, RecipientUnsent},
		450: {RecipientUnsent, RecipientUnsent, RecipientUnsent},
		452: {RecipientUnsent, RecipientUnsent, RecipientUnsent},
		552: {RecipientUnsent, RecipientUnsent, RecipientUnsent}, // RFC 5321, 4.5.3.1.10
		550: {RecipientInvalid, RecipientInvalid, RecipientInvalid},
		503: {RecipientInvalid, RecipientInvalid, RecipientInvalid},
	} {
		for i, final := range []int{250, 554, 0} {
			env := Envelope{From: "a@test.example", To: To("b@test.example", "c@test.example"), Partial: true}
			var p plan
			if err := p.write(&env, "", newMemory().(*memory)); err != nil {
				t.Fatal(err)
			}
			a := &attempt{plan: &p}
			a.Mail.Code, a.Final.Code, a.Committed = 250, final, true
			a.Rcpt = []link.Reply{{Code: 250}, {Code: code}}
			if final == 0 {
				a.Lost = &link.Failure{Kind: link.Ended, Step: link.Final, Err: io.EOF}
			}
			res, failed := judge(&p, a)
			list := []RecipientResult(nil)
			if res != nil {
				list = res.Recipients
			} else {
				list = failed.Recipients
			}
			if list[1].Status != want[i] || list[1].Reply.Code != code {
				t.Errorf("%d to RCPT, %d to the message: %v with reply %d, want %v", code, final, list[1].Status, list[1].Reply.Code, want[i])
			}
		}
	}
}

// A recipient that was not asked for has not got the message, whatever became of it.
func TestNotAskedForIsUnsent(t *testing.T) {
	env := Envelope{From: "a@test.example", To: To("b@test.example", "c@test.example"), Partial: true}
	var p plan
	if err := p.write(&env, "", newMemory().(*memory)); err != nil {
		t.Fatal(err)
	}
	for _, final := range []int{250, 554, 0} {
		a := &attempt{plan: &p, lacks: []error{nil, &AddressError{Addr: "c@test.example", Err: ErrUnsupported}}}
		a.Mode.Skip = []bool{false, true}
		a.Mail.Code, a.Final.Code, a.Committed = 250, final, true
		a.Rcpt = []link.Reply{{Code: 250}, {}}
		if final == 0 {
			a.Lost = &link.Failure{Kind: link.Ended, Step: link.Final, Err: io.EOF}
		}
		_, failed := judge(&p, a)
		if got := failed.Recipients[1]; got.Status != RecipientUnsent || !errors.Is(failed, ErrUnsupported) {
			t.Errorf("%d to the message: %v, %v", final, got.Status, failed)
		}
	}
}

// dice gives out the octets of a fuzz input, and zeros after them.
type dice []byte

// roll returns a number below n.
func (d *dice) roll(n int) int {
	if len(*d) == 0 {
		return 0
	}
	b := (*d)[0]
	*d = (*d)[1:]
	return int(b) % n
}

func (d *dice) flip() bool { return d.roll(2) == 1 }

// reply is none, or any.
func (d *dice) reply() link.Reply {
	codes := []int{0, 250, 251, 200, 259, 354, 334, 300, 421, 221, 450, 451, 452, 500, 503, 530, 550, 552, 554, 559, 400}
	texts := []string{"ok", "", "2.1.5 ok", "2.0.0 queued as 1", "5.1.1 no such user", "4.4.5 enough", "5.7.1 no\nmore of it\n", "\x1b[2J", "\u202e\xff", strings.Repeat("long ", 300)}
	code := codes[d.roll(len(codes))]
	if code == 0 {
		return link.Reply{}
	}
	return link.Reply{Code: code, Text: texts[d.roll(len(texts))]}
}

// failure is none, or any.
func (d *dice) failure() *link.Failure {
	if d.flip() {
		return nil
	}
	errs := []error{io.EOF, io.ErrUnexpectedEOF, os.ErrDeadlineExceeded, context.Canceled, context.DeadlineExceeded, errors.New("of two\nlines"),
		&smtpwire.SyntaxError{Reason: "not an SMTP reply", Text: "\x1b\r\nHTTP"}}
	return &link.Failure{
		Kind: link.Kind(d.roll(int(link.GivenUp) + 1)), Step: link.Step(d.roll(int(link.Command) + 1)),
		Reply: d.reply(), Limit: 1, Err: errs[d.roll(len(errs))],
	}
}

// plan is one with some recipients that are not valid. err is what makes it one that
// is not sent.
func (d *dice) plan(t *testing.T) (p plan, err error) {
	env := Envelope{From: "a@test.example", Partial: d.flip()}
	for i := range 1 + d.roll(5) {
		addrs := []string{fmt.Sprintf("r%d@test.example", i), fmt.Sprintf("not\r\nan address %d", i), "имя@test.example", ""}
		env.To = append(env.To, Recipient{Addr: addrs[max(0, d.roll(8)-4)]})
	}
	err = p.write(&env, "", newMemory().(*memory))
	if len(p.rcpts) != len(env.To) {
		t.Fatalf("%d recipients of %d", len(p.rcpts), len(env.To))
	}
	for i := range env.To {
		if p.rcpts[i].addr != env.To[i].Addr {
			t.Fatalf("recipient %d is %q, want %q", i, p.rcpts[i].addr, env.To[i].Addr)
		}
	}
	return p, err
}

// attempt is one at p with any Record that a transfer may leave.
func (d *dice) attempt(p *plan) *attempt {
	a := &attempt{plan: p}
	n := len(p.rcpts)
	for i := range p.rcpts {
		if p.env.Partial && d.roll(8) == 7 {
			if a.lacks == nil {
				a.lacks = make([]error, n)
			}
			a.lacks[i] = &AddressError{Addr: p.rcpts[i].addr, Err: unsupported(extDSN, "delivery\nstatus")}
		}
	}
	if d.roll(8) == 7 {
		return a // nothing was begun
	}
	r := &a.Record
	r.Mode = transfer.Mode{Pipelining: d.flip(), Chunking: d.flip(), EnhancedCodes: d.flip(), AllOrNothing: !p.env.Partial, Skip: make([]bool, n)}
	r.Surplus = d.reply()
	r.Rcpt = make([]link.Reply, n)
	hear := func(step link.Step, i int) {
		if reply := d.reply(); reply.Code != 0 {
			r.Hear(link.Owed{Message: r, Step: step, Index: i}, reply) // keeps what can be a reply there
		}
	}
	if r.Mode.LMTP = d.flip(); r.Mode.LMTP {
		r.Finals = make([]link.Reply, n)
	}
	for _, step := range []link.Step{link.Reset, link.Mail, link.Data, link.Chunk, link.Final, link.Message} {
		if step != link.Final || !r.Mode.LMTP {
			hear(step, 0)
		}
	}
	r.Begun, r.Together, r.Committed, r.Shifted, r.Noise = d.flip(), d.flip(), d.flip(), d.flip(), d.flip()
	if r.Mode.LMTP {
		return d.finals(a, hear)
	}
	// Only a reply to chunks that were sent to the end can be a shifted one.
	r.Shifted = r.Shifted && r.Mode.Chunking && r.Committed && r.Final.Code != 0
	r.Lost, r.Octets = d.failure(), int64(d.roll(256))
	r.Stop = transfer.Stop(max(0, d.roll(8)-4))
	for i := range r.Rcpt {
		if r.Mode.Skip[i] = !a.named(i); r.Mode.Skip[i] {
			continue
		}
		hear(link.Rcpt, i)
		if r.Rcpt[i].Code == 0 && r.Final.Code != 0 {
			// Replies are heard in order: when the message was answered,
			// every recipient was.
			r.Rcpt[i].Code = 250
		}
	}
	if r.Shifted {
		shift(r)
	}
	if r.Stop == transfer.Withheld {
		a.cause = errors.New("the source\nfailed")
	}
	return a
}

// finals completes an attempt under LMTP: final replies come to recipients that were
// accepted, and one to a chunk that shared the flight of its only recipient.
func (d *dice) finals(a *attempt, hear func(link.Step, int)) *attempt {
	r := &a.Record
	r.Together = r.Together && len(r.Rcpt) == 1
	if r.Lost, r.Octets = d.failure(), int64(d.roll(256)); !r.Committed {
		r.Stop = transfer.Stop(d.roll(int(transfer.Withheld)))
	}
	for i := range r.Rcpt {
		if r.Mode.Skip[i] = !a.named(i); r.Mode.Skip[i] {
			continue
		}
		if hear(link.Rcpt, i); r.Committed && !r.Together && r.Rcpt[i].Code == 0 {
			r.Rcpt[i].Code = 250 // no message goes out before its envelope was answered
		}
		if r.Committed && (r.Accepted(i) || r.Together && r.Rcpt[i].Code != 0) {
			hear(link.Final, i)
		}
	}
	if r.Shifted = r.Shifted && r.Committed && r.AnyAccepted() && r.Surplus.Code != 0; r.Shifted {
		clear(r.Finals)
	}
	return a
}

// finalOf is the final reply that an attempt has about recipient i.
func finalOf(a *attempt, i int) link.Reply {
	switch {
	case !a.Mode.LMTP:
		return a.Final
	case i >= len(a.Finals):
		return link.Reply{}
	}
	return a.Finals[i]
}

// checkEach holds what LMTP adds: a verdict on each recipient.
func checkEach(a *attempt, list []RecipientResult, outcome func(Outcome) bool) string {
	missing := false
	for i, r := range list {
		if len(a.Rcpt) == 0 || !a.Rcpt[i].Positive() || a.Mail.Negative() {
			continue
		}
		final := a.Finals[i]
		missing = missing || a.Committed && final.Code == 0
		switch {
		case !a.Committed:
		case final.Positive() && r.Status != RecipientSent:
			return "a recipient that has the message is not sent"
		case final.Negative() && r.Status != RecipientInvalid && r.Status != RecipientUnsent:
			return "a recipient that was refused is not unsent"
		case final.Code == 0 && r.Status != RecipientUncertain:
			return "a recipient without a final reply is not uncertain"
		case final.Code != 0 && r.Reply.Code != final.Code:
			return "not the final reply"
		}
	}
	if missing && !outcome(Unknown) {
		return "a final reply is missing, and yet it is known what became of the message"
	}
	return ""
}

// shift forgets, as a transfer does, what answers what, unless all say the same.
func shift(r *transfer.Record) {
	accepted, refused := false, false
	for _, reply := range append([]link.Reply{r.Mail, r.Final}, r.Rcpt...) {
		accepted, refused = accepted || reply.Positive(), refused || reply.Negative()
	}
	if accepted && refused {
		r.Mail = link.Reply{}
		clear(r.Rcpt)
	}
}

// FuzzJudge: whatever an attempt has shown, the verdict on it is sound.
func FuzzJudge(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte("\x00\x02\x00\x00\x00\x00\x01\x01\x01\x00\x01\x00\x05\x00\x00\x01\x03\x00\x00\x01\x00\x01"))
	f.Add([]byte("\x01\x04\x01\x05\x02\x06\x03\x07\x00\x08\x00\x00\x00\x01\x01\x00\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01"))
	for i := range 40 {
		var b []byte
		for j := range 60 {
			b = append(b, byte((i*131+j*j*17+j*i)>>1))
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		d := dice(in)
		p, err := d.plan(t)
		a := d.attempt(&p)
		if err != nil || d.roll(16) == 15 {
			if err == nil {
				causes := []error{ErrClosed, ErrAborted, &ConnectError{Addr: "host:1", Stage: StageHello, Err: io.EOF}, &AuthError{Err: ErrInsecureAuth},
					&TLSError{Host: "host", Err: io.EOF}, givenUp(StageDial, context.Background()), errors.New("any\nerror")}
				err = causes[d.roll(len(causes))]
			}
			a = &attempt{plan: &p, refused: err, noSession: d.flip()}
		}
		res, failed := judge(&p, a)
		checkVerdict(t, &p, a, res, failed)
		again, failedAgain := judge(&p, a)
		if !reflect.DeepEqual(res, again) || !reflect.DeepEqual(failed, failedAgain) {
			t.Fatalf("judged twice: %v, %v, then %v, %v", res, failed, again, failedAgain)
		}
	})
}

// checkVerdict holds a verdict against the facts.
func checkVerdict(t *testing.T, p *plan, a *attempt, res *Result, failed *SendError) {
	t.Helper()
	sound := func(ok bool, what string) {
		t.Helper()
		if !ok {
			t.Fatalf("%s\nresult %+v\nerror %+v: %v\nrecord %+v", what, res, failed, failed, a.Record)
		}
	}
	sent := failed == nil || failed.Outcome == PartlySent
	sound((res != nil) == sent, "a result comes with an acceptance and with nothing else")
	accepted := a.refused == nil && a.Committed && (a.Final.Positive() || slices.ContainsFunc(a.Finals, link.Reply.Positive))
	var list []RecipientResult
	switch {
	case failed == nil:
		list = res.Recipients
	default:
		list = failed.Recipients
		sound(failed.Outcome <= Unknown, "an outcome that there is not")
	}
	if sent {
		sound(accepted, "sent without an acceptance of what was committed")
		sound(!a.Shifted, "sent on a reply that may answer something else")
		sound((a.Mode.LMTP || res.Reply.Code == a.Final.Code) && res.Bytes == a.Octets, "the result is not that of the message")
		sound(makeReply(link.Reply{Code: res.Reply.Code}).Code/100 == 2, "the result is not an acceptance")
		sound(reflect.DeepEqual(list, res.Recipients), "the recipients of result and error differ")
	}
	counts := map[RecipientStatus]int{}
	sound(len(list) == len(p.rcpts), "not one entry for each recipient")
	for i, r := range list {
		counts[r.Status]++
		sound(r.Addr == p.rcpts[i].addr, "the recipients are not in order")
		var reply link.Reply
		if len(a.Rcpt) > 0 {
			reply = a.Rcpt[i]
		}
		switch r.Status {
		case RecipientSent:
			sound(reply.Positive() && finalOf(a, i).Positive(), "sent to a recipient that was not accepted")
		case RecipientUncertain:
			sound(!reply.Negative() && a.named(i), "uncertain about a recipient that was refused or not asked for")
		case RecipientInvalid:
			final := a.Mode.LMTP && reply.Positive()
			if final {
				reply = a.Finals[i]
			}
			sound(p.rcpts[i].err != nil || reply.Code/100 == 5 && (final || reply.Code != 552), "invalid without a reason")
		}
		sound(p.rcpts[i].err == nil || r.Status == RecipientInvalid, "an address that is none is not invalid")
		sound(r.Reply.Code == 0 || r.Reply.Code == reply.Code || a.Mode.LMTP && r.Reply.Code == finalOf(a, i).Code, "a reply that is not that of the recipient")
		if accepted && !a.Shifted && reply.Positive() && finalOf(a, i).Positive() {
			sound(r.Status == RecipientSent || r.Status == RecipientUncertain, "an accepted message counts as not sent to a recipient that was accepted")
		}
	}
	if a.Mode.LMTP && a.refused == nil && a.Stop == transfer.NoStop {
		wrong := checkEach(a, list, func(o Outcome) bool { return failed != nil && failed.Outcome == o })
		sound(wrong == "", wrong)
	}
	switch {
	case failed == nil:
		sound(counts[RecipientSent] == len(list), "success, but not for everyone")
		return
	case failed.Outcome == PartlySent:
		sound(counts[RecipientSent] > 0 && counts[RecipientSent] < len(list) && counts[RecipientUncertain] == 0, "partly sent, but not to some")
		sound(failed.Err != nil, "partly sent without a reason")
	case failed.Outcome == Unknown:
		sound(a.refused == nil && a.Committed, "unknown before the last octet")
		sound(counts[RecipientUncertain] > 0 && (a.Mode.LMTP || counts[RecipientSent] == 0), "unknown, but for nobody")
		sound(!failed.Temporary(), "unknown is temporary")
		sound(failed.Stage == StageFinal && failed.Err != nil, "unknown at another stage, or without a reason")
	default:
		sound(counts[RecipientSent]+counts[RecipientUncertain] == 0, "not sent, but to somebody")
		sound(!accepted || a.Shifted || !a.AnyAccepted(), "an accepted message counts as not sent")
	}
	sound(!strings.HasPrefix(failed.Stage.String(), "Stage("), "a stage that there is not")
	text := failed.Error()
	sound(!strings.ContainsFunc(text, unicode.IsControl), "the text is not one line: "+strconv.Quote(text))
	sound(strings.Count(text, prefix) == 1 && strings.HasPrefix(text, prefix), "the text does not name the package once: "+text)
	failed.Temporary()
}
