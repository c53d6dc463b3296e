package outbox

import (
	"errors"

	"github.com/fe022423/submission"
)

// part is the envelope for the recipients that are still to be sent to, and their indexes.
func (st *state) part(env submission.Envelope) (submission.Envelope, []int) {
	var at []int
	var to []submission.Recipient
	for i, r := range st.Recipients {
		if r.Status == Queued && i < len(env.To) {
			at, to = append(at, i), append(to, env.To[i])
		}
	}
	env.To = to
	return env, at
}

// accepted is the outcome of an attempt without an error, for the recipients at the indexes at.
func (st *state) accepted(at []int, res *submission.Result) outcome {
	o := outcome{recipients: make([]RecipientRecord, len(st.Recipients))}
	for _, i := range at {
		o.recipients[i] = RecipientRecord{Status: Sent, Reply: replyText(&res.Reply)}
	}
	return o
}

// refused is the outcome of an attempt that ended with err. again says whether those who are
// Queued in it are worth another attempt.
func (st *state) refused(at []int, env submission.Envelope, err *submission.SendError) (o outcome, again bool) {
	o = outcome{recipients: make([]RecipientRecord, len(st.Recipients)), err: err.Error()}
	for n, i := range at {
		r := RecipientRecord{Status: Queued}
		if n < len(err.Recipients) {
			r = recipientRecord(err.Recipients[n])
		}
		if r.Reply == "" && err.Reply != nil && err.Stage >= submission.StageMail {
			r.Reply = replyText(err.Reply)
		}
		o.recipients[i] = r
	}
	if err.Outcome == submission.Unknown {
		return o, false
	}
	if _, again = err.Remaining(env); !again {
		again = !speaksOfMessage(err)
	}
	return o, again
}

func recipientRecord(r submission.RecipientResult) RecipientRecord {
	status := Queued
	switch r.Status {
	case submission.RecipientSent:
		status = Sent
	case submission.RecipientInvalid:
		status = Failed
	case submission.RecipientUncertain:
		status = Held
	}
	return RecipientRecord{Status: status, Reply: replyText(&r.Reply)}
}

func replyText(r *submission.Reply) string {
	if r.Code == 0 {
		return ""
	}
	return cut(r.String(), maxReply)
}

// speaksOfMessage reports whether an error says something about this message. A server that
// cannot be reached or trusted, credentials that it refuses, and a client that was closed
// say nothing: the whole queue would fail for good because of one wrong password.
func speaksOfMessage(err *submission.SendError) bool {
	if errors.Is(err, submission.ErrClosed) || err.Stage == submission.StageWait || err.Stage < submission.StageMail {
		return false
	}
	var connect *submission.ConnectError
	var tls *submission.TLSError
	var auth *submission.AuthError
	return !errors.As(err, &connect) && !errors.As(err, &tls) && !errors.As(err, &auth)
}
