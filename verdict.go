package submission

import (
	"errors"
	"slices"

	"github.com/fe022423/submission/internal/link"
	"github.com/fe022423/submission/internal/transfer"
)

// judge says what became of a message. It reads what the attempt has shown and
// changes nothing. This is the only place that makes a SendError. A nil error
// comes with a Result; a PartlySent comes with both.
func judge(p *plan, a *attempt) (*Result, *SendError) {
	v := verdict{plan: p, attempt: a}
	switch {
	case a.refused != nil:
		return nil, v.notBegun()
	case a.Sent():
		return v.sent()
	case a.Unknown():
		return nil, v.unknown()
	}
	return nil, v.notSent()
}

// verdict is a judgement being made.
type verdict struct {
	plan    *plan
	attempt *attempt
	// lines is room for the text of each recipient's reply and of the last one.
	lines []string
}

// tally is a Result with room for the recipient and the replies that most
// messages have.
type tally struct {
	Result
	rcpts [1]RecipientResult
	lines [2]string
}

// sent is the verdict on a message that the server accepted for at least one
// recipient.
func (v *verdict) sent() (*Result, *SendError) {
	a, t := v.attempt, new(tally)
	v.lines = t.lines[:0]
	rcpts := t.rcpts[:]
	if n := len(v.plan.rcpts); n != 1 {
		rcpts = make([]RecipientResult, n)
		v.lines = make([]string, 0, n+1)
	}
	v.fill(rcpts, RecipientSent)
	t.Result = Result{Recipients: rcpts, Reply: v.reply(a.LastTaken()), Bytes: a.Octets}
	refusals := v.refusals()
	if refusals == nil {
		return &t.Result, nil
	}
	e := &SendError{
		Outcome: PartlySent, Stage: StageRcpt, Reply: v.firstRefusal(rcpts), Err: join(refusals...),
		Recipients: rcpts, partial: v.plan.env.Partial || a.Mode.LMTP,
	}
	if a.Mode.LMTP && v.allAccepted() {
		e.Stage, e.Reply, e.each = StageFinal, v.replyPtr(a.FinalRefusal()), true
	}
	e.hint = v.hint(e)
	return &t.Result, e
}

// unknown is the verdict on a message that is on its way and was not answered, or
// not so that the answer can be believed.
func (v *verdict) unknown() *SendError {
	var cause error
	switch a := v.attempt; {
	case a.Shifted && a.Surplus.Code != 0:
		cause = &ProtocolError{Stage: StageFinal, Text: "a reply too many: " + v.reply(a.Surplus).String()}
	case a.Shifted && a.Noise:
		cause = &ProtocolError{Stage: StageFinal, Text: "more than the replies that were asked for, and not a reply"}
	case a.Shifted:
		cause = &ProtocolError{Stage: StageFinal, Text: "a reply about an address in place of the verdict on the message: " + v.reply(a.Final).String()}
	case a.Lost != nil:
		cause = lostError(a.Lost)
	default:
		cause = &ProtocolError{Stage: StageFinal, Text: "a message whose sender was refused was answered " + v.reply(a.FirstFinal()).String()}
	}
	return v.failed(RecipientUncertain, SendError{
		Outcome: Unknown, Stage: StageFinal, Err: join(append(v.refusals(), cause)...),
	})
}

// notSent is the verdict on a message that the server did not accept for anyone.
// What stopped it first is what the caller sees, whatever came after it.
func (v *verdict) notSent() *SendError {
	a := v.attempt
	e := SendError{Err: join(v.refusals()...), elsewhere: a.elsewhere}
	if a.Lost != nil {
		e.Err = join(append(v.refusals(), lostError(a.Lost))...)
	}
	ended := v.ended()
	switch {
	case a.Stop != transfer.NoStop:
		e.Stage, e.Err = StageMessage, v.cause()
	case a.Mail.Negative():
		e.Stage, e.Reply = StageMail, v.replyPtr(a.Mail)
		if a.Mail.Closing() && a.Lost == nil { // all of its flight was answered
			why := lostError(&link.Failure{Kind: link.Closing, Step: link.Mail, Reply: a.Mail})
			e.Err = join(append(v.refusals(), why)...)
		}
	case a.RcptStopped():
		e.Stage, e.Reply = StageRcpt, v.replyPtr(a.Rcpt[a.FirstRefused()])
	case ended != nil:
		e.Stage, e.Reply = StageRcpt, v.replyPtr(ended.Reply)
		e.Err = join(append(v.refusals(), lostError(ended))...)
	case a.FinalRefusal().Code != 0:
		e.Stage, e.Reply, e.Err = StageFinal, v.replyPtr(a.FinalRefusal()), join(v.refusals()...)
		e.each = a.Mode.LMTP
	case a.Data.Negative() && !a.Data.Closing():
		e.Stage, e.Reply = StageData, v.replyPtr(a.Data)
	case a.Chunk.Code != 0 && !a.Chunk.Closing():
		e.Stage, e.Reply = StageMessage, v.replyPtr(a.Chunk)
	case a.Lost != nil:
		v.lost(&e)
	}
	return v.failed(RecipientUnsent, e)
}

// ended returns how the server ended the session in its replies to RCPT, when it had
// taken nobody: nil when it did not. In a flight with the message, what it says after
// that is a consequence.
func (v *verdict) ended() *link.Failure {
	a := v.attempt
	if i := slices.IndexFunc(a.Rcpt, link.Reply.Closing); i >= 0 && !a.AnyAccepted() {
		return &link.Failure{Kind: link.Closing, Step: link.Rcpt, Reply: a.Rcpt[i]}
	}
	return nil
}

// lost completes the verdict on a message whose link broke before anything else
// had stopped it.
func (v *verdict) lost(e *SendError) {
	f := v.attempt.Lost
	e.Stage = stageOf(f.Step)
	if f.Reply.Closing() || f.Kind == link.Refused {
		e.Reply = v.replyPtr(f.Reply)
	}
	if f.Kind == link.Unasked && f.Step == link.Message && f.Reply.Negative() {
		// The server refused the message before it had all of it.
		e.Reply, e.Err = v.replyPtr(f.Reply), join(v.refusals()...)
	}
}

// cause says why this side gave the message up in the middle.
func (v *verdict) cause() error {
	switch a := v.attempt; a.Stop {
	case transfer.TooLarge:
		return tooLarge(a.Octets, a.Mode.SizeLimit)
	case transfer.EightBit:
		return a.eightBit()
	default:
		return a.cause
	}
}

// notBegun is the verdict on a message of which nothing was sent: the envelope,
// what the server offers, or the lack of a session forbade it.
func (v *verdict) notBegun() *SendError {
	e := SendError{Stage: StageMail, Err: v.attempt.refused}
	switch err := e.Err.(type) {
	case *ConnectError:
		e.Stage, e.Reply = err.Stage, err.Reply
	case *TLSError:
		e.Stage = StageTLS
	case *AuthError:
		e.Stage, e.Reply = StageAuth, err.Reply
	case *linkError:
		e.Stage = err.stage
	default:
		switch {
		case v.attempt.noSession:
			e.Stage = StageWait
		case isType[*AddressError](e.Err), errors.Is(e.Err, ErrNoRecipients), errors.Is(e.Err, ErrOutOfRange) && !isType[*SenderError](e.Err):
			e.Stage = StageRcpt
		case e.Err == ErrAborted, e.Err == errNoSource, isType[*messageError](e.Err):
			e.Stage = StageMessage
		}
	}
	return v.failed(RecipientUnsent, e)
}

// failed completes a SendError. status is that of recipients that the server took.
func (v *verdict) failed(status RecipientStatus, e SendError) *SendError {
	e.Recipients = make([]RecipientResult, len(v.plan.rcpts))
	e.partial = v.plan.env.Partial
	v.fill(e.Recipients, status)
	e.hint = v.hint(&e)
	return &e
}

// about returns the error of a message that was sent in several parts or attempts: a copy of
// e, the verdict on one of them, or with nil a new one, for the recipients of all.
func (e *SendError) about(list []RecipientResult) *SendError {
	var all SendError
	if e != nil {
		all = *e
	}
	all.Recipients = list
	return &all
}

// fill sets what became of each recipient; accepted is the status of those that
// the server took. Under LMTP a final reply says it, in the words of one to RCPT.
func (v *verdict) fill(list []RecipientResult, accepted RecipientStatus) {
	a := v.attempt
	for i := range list {
		list[i].Addr = v.plan.rcpts[i].addr
		switch {
		case v.plan.rcpts[i].err != nil && a.concerns(i):
			list[i].Status = RecipientInvalid
			continue
		case len(a.Rcpt) == 0 || !a.named(i):
			if len(a.Rcpt) > 0 && !a.Mail.Negative() {
				list[i].Reply = v.reply(a.Rcpt[i]) // that of one that comes later
			}
			continue // RecipientUnsent
		case a.Mail.Negative() && a.Refused(i):
			continue // what follows a refused MAIL says nothing about the address
		}
		r := a.SaidOf(i)
		list[i].Reply = v.reply(r)
		switch {
		case a.Mode.LMTP && a.Taken(i):
			list[i].Status = RecipientSent
		case r.Positive(), r.Code == 0 && accepted == RecipientUncertain && !a.NotAsked(i):
			list[i].Status = accepted
		case r.Negative() && !r.Closing() && !mayTakeLater(&list[i].Reply, a.TurnedAway(i)):
			list[i].Status = RecipientInvalid
		}
	}
}

// refusals lists what was refused, the sender first. A 421 to a recipient is no
// refusal of it, but where the message went out it kept the message from it.
func (v *verdict) refusals() []error {
	var errs []error
	a := v.attempt
	if a.Mail.Negative() && !a.Mail.Closing() {
		errs = append(errs, &SenderError{Addr: v.plan.from, Reply: v.replyPtr(a.Mail)})
	}
	for i := range v.plan.rcpts {
		switch r := &v.plan.rcpts[i]; {
		case !a.concerns(i):
		case r.err != nil:
			errs = append(errs, r.err)
		case a.lacks != nil && a.lacks[i] != nil:
			errs = append(errs, a.lacks[i])
		case len(a.Rcpt) == 0 || a.Mail.Negative():
		case a.Refused(i) && (!a.Rcpt[i].Closing() || a.Committed && a.AnyAccepted()):
			errs = append(errs, &AddressError{Addr: r.addr, Reply: v.replyPtr(a.Rcpt[i])})
		case a.TurnedAway(i):
			errs = append(errs, &AddressError{Addr: r.addr, Reply: v.replyPtr(a.FinalOf(i)), final: true})
		}
	}
	return errs
}

// allAccepted reports whether the server took every recipient, before the message.
func (v *verdict) allAccepted() bool {
	for i := range v.plan.rcpts {
		if v.attempt.concerns(i) && !v.attempt.Accepted(i) {
			return false
		}
	}
	return true
}

// firstRefusal returns the first reply that kept a recipient from the message,
// nil when no reply did.
func (v *verdict) firstRefusal(list []RecipientResult) *Reply {
	for i := range list {
		if v.attempt.concerns(i) && v.attempt.Refused(i) {
			return &list[i].Reply
		}
	}
	return nil
}

// reply makes a Reply of one that the transfer kept.
func (v *verdict) reply(r link.Reply) Reply { return makeReplyIn(r, &v.lines) }

func (v *verdict) replyPtr(r link.Reply) *Reply {
	reply := v.reply(r)
	return &reply
}
