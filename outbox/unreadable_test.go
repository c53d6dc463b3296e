package outbox_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/fe022423/submission/outbox"
	"github.com/fe022423/submission/smtptest"
)

// What cannot be read is held and listed with the reason, and can be discarded.
func TestWhatCannotBeReadIsHeld(t *testing.T) {
	srv := smtptest.New(t, nil)
	ob := open(t, nil)
	ctx := deadline(t)
	good := enqueue(t, ob, envelope(), nil)
	spoilt := enqueue(t, ob, envelope(), &outbox.Item{NotBefore: time.Now().Add(time.Hour)})
	for subject, data := range map[string]string{
		"rubbish.m.normal":    "rubbish",
		"empty.m.high":        "",
		"future.m.low":        "outbox message 2 2\n{}",
		"alone.s":             "rubbish",
		string(spoilt) + ".s": "outbox state 9 2\n{}",
	} {
		if err := ob.PublishRaw(ctx, subject, []byte(data)); err != nil {
			t.Fatal(err)
		}
	}
	w := work(t, ob, srv, nil)
	ids := map[outbox.ID]outbox.Status{}
	for range 4 { // those that have a message
		r := w.next()
		ids[r.ID] = r.Status
		if r.ID == spoilt {
			t.Error("a message whose record cannot be read came to its end")
		}
		if len(ids) == 4 {
			break
		}
	}
	w.stop()
	if ids[good] != outbox.Sent || ids["rubbish"] != outbox.Held || ids["empty"] != outbox.Held || ids["future"] != outbox.Held {
		t.Errorf("%v", ids)
	}
	held := map[outbox.ID]string{}
	for r, err := range ob.List(ctx, outbox.Filter{Status: []outbox.Status{outbox.Held}}) {
		if err != nil {
			t.Fatal(err)
		}
		held[r.ID] = r.Err
	}
	for id, want := range map[outbox.ID]string{"rubbish": "not a message", "empty": "not a message", "future": `version "2"`, "alone": "not a state", spoilt: `version "9"`} {
		if !strings.Contains(held[id], want) {
			t.Errorf("%s is held with %q, want %q", id, held[id], want)
		}
		if err := ob.Retry(ctx, id); err == nil {
			t.Errorf("Retry of %s", id)
		}
		if err := ob.Resolve(ctx, id, outbox.Discard); err != nil {
			t.Errorf("Resolve of %s: %v", id, err)
		}
	}
	if len(srv.Messages()) != 1 || len(held) != 5 {
		t.Errorf("%d messages, %v held", len(srv.Messages()), held)
	}
}

// A body that the store cannot read now is no failure of the message.
func TestBodyThatCannotBeReadNow(t *testing.T) {
	srv := smtptest.New(t, nil)
	engine := make(chan error, 10)
	ob := open(t, func(o *outbox.Options) {
		o.Observe = func(e outbox.Event) {
			if e.Kind == outbox.EventEngine {
				engine <- e.Err
			}
		}
	})
	id, err := ob.Enqueue(deadline(t), envelope(), bytes.NewReader(bytes.Repeat([]byte("0123456789\r\n"), 30000)), nil)
	if err != nil {
		t.Fatal(err)
	}
	broken := errors.New("the disk is gone")
	outbox.SetSeam(ob, func(call string) error {
		if call == "object" {
			return broken
		}
		return nil
	})
	w := work(t, ob, srv, nil)
	if err := <-engine; !errors.Is(err, broken) {
		t.Error(err)
	}
	w.stop()
	if r := get(t, ob, id); r.Status != outbox.Queued || r.Attempts != 0 || r.Err != "" {
		t.Errorf("%+v", r)
	}
}
