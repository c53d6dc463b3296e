package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/fe022423/submission/outbox"
)

// action is a button of a message.
type action struct {
	Name, Label string
	// Warning says what to think of first. A button that has one stands on the page of the
	// message only, beside the warning.
	Warning string
}

const (
	mayBeTwice = "Who is marked “may have it” may get it a second time. Look first whether it arrived: in the log of the mail server, by the Message-ID below."
	notTwice   = "Nobody has it yet whom it is sent to, so nobody gets it twice."
)

// actionsFor are the buttons of a message, in its status.
func actionsFor(r outbox.Record) []action {
	cancel := action{"cancel", "Cancel", ""}
	retry := action{"retry", "Send now", ""}
	arrived := action{"was-sent", "It arrived", "The queue notes it as sent to all recipients, and forgets the message."}
	discard := action{"discard", "Do not send", "Nobody gets it who has not got it yet. The message is gone then."}
	if mayHave(r) {
		retry.Label, retry.Warning = "Send again", mayBeTwice
	}
	switch r.Status {
	case outbox.Queued:
		return []action{cancel}
	case outbox.Deferred:
		return []action{retry, cancel}
	case outbox.Failed, outbox.PartlySent:
		return []action{retry, arrived, discard}
	case outbox.Held:
		if retry.Warning == "" { // it could not be read, or sending it panicked
			retry.Warning = notTwice
		}
		return []action{retry, arrived, discard}
	}
	return nil
}

// mayHave reports whether a recipient may have the message without anybody knowing it.
func mayHave(r outbox.Record) bool {
	for _, to := range r.Recipients {
		if to.Status == outbox.Held {
			return true
		}
	}
	return false
}

// seen names what somebody saw who pressed a button: another attempt makes it another one.
func seen(r outbox.Record) string { return fmt.Sprintf("%s %d", r.Status, r.Attempts) }

// errNoAction: the address of the request names none.
var errNoAction = errors.New("there is no such action")

// errChanged: what the button promised is not true any more.
var errChanged = errors.New("since you looked, somebody may have got this message: look at it again first")

// act does what a button says, and shows the list again.
func (s *service) act(w http.ResponseWriter, r *http.Request) {
	id, name := outbox.ID(r.PathValue("id")), r.PathValue("action")
	err := s.perform(r.Context(), id, name, r.PostFormValue("seen"))
	switch {
	case err == nil:
		back := url.Values{"show": {showOf(r).Name}, "done": {name}}
		http.Redirect(w, r, "/?"+back.Encode(), http.StatusSeeOther)
		return
	case errors.Is(err, errNoAction), errors.Is(err, outbox.ErrNotFound):
		s.writeQueue(w, r, http.StatusNotFound, err.Error())
	case errors.Is(err, outbox.ErrTooLate), errors.Is(err, errChanged):
		s.writeQueue(w, r, http.StatusConflict, "Nothing was changed. "+err.Error())
	default:
		s.writeQueue(w, r, http.StatusServiceUnavailable, "It is not known whether this was done: look at the message. "+err.Error())
	}
	s.log.WarnContext(r.Context(), "not done", "action", name, "id", id, "error", err)
}

func (s *service) perform(ctx context.Context, id outbox.ID, name, saw string) error {
	switch name {
	case "retry":
		return s.retry(ctx, id, saw)
	case "cancel":
		return s.queue.Cancel(ctx, id)
	case "was-sent":
		return s.queue.Resolve(ctx, id, outbox.WasSent)
	case "discard":
		return s.queue.Resolve(ctx, id, outbox.Discard)
	}
	return errNoAction
}

// retry sends a message again. A page that was loaded before it became uncertain has a button
// without the warning: that button does not count.
func (s *service) retry(ctx context.Context, id outbox.ID, saw string) error {
	now, err := s.queue.Get(ctx, id)
	if err != nil {
		return err
	}
	if mayHave(now) && saw != seen(now) {
		return errChanged
	}
	return s.queue.Retry(ctx, id)
}
