package outbox_test

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/fe022423/submission/outbox"
	"github.com/fe022423/submission/smtptest"
)

func TestRefusals(t *testing.T) {
	for name, c := range map[string]struct {
		hook     smtptest.Hook
		partial  bool
		want     outbox.Status
		attempts int
		each     []outbox.Status
	}{
		"a recipient refused for good":           {smtptest.On("RCPT", "b@example.net", "550 no"), false, outbox.Failed, 1, []outbox.Status{outbox.Failed, outbox.Failed}},
		"partial, a recipient refused for good":  {smtptest.On("RCPT", "b@example.net", "550 no"), true, outbox.PartlySent, 1, []outbox.Status{outbox.Sent, outbox.Failed}},
		"the sender refused for good":            {smtptest.On("MAIL", "", "550 no"), false, outbox.Failed, 1, []outbox.Status{outbox.Failed, outbox.Failed}},
		"the message refused for good":           {smtptest.On("MESSAGE", "", "554 no"), false, outbox.Failed, 1, []outbox.Status{outbox.Failed, outbox.Failed}},
		"greylisted":                             {smtptest.Times(2, smtptest.On("RCPT", "", "451 later")), false, outbox.Sent, 2, []outbox.Status{outbox.Sent, outbox.Sent}},
		"partial, one greylisted":                {smtptest.Times(1, smtptest.On("RCPT", "b@example.net", "451 later")), true, outbox.Sent, 2, []outbox.Status{outbox.Sent, outbox.Sent}},
		"the message refused for now":            {smtptest.Times(1, smtptest.On("MESSAGE", "", "451 later")), false, outbox.Sent, 2, []outbox.Status{outbox.Sent, outbox.Sent}},
		"busy":                                   {smtptest.Times(1, smtptest.On("CONNECT", "", "421 busy")), false, outbox.Sent, 2, []outbox.Status{outbox.Sent, outbox.Sent}},
		"no service says nothing of the message": {smtptest.Times(1, smtptest.On("CONNECT", "", "554 no")), false, outbox.Sent, 2, []outbox.Status{outbox.Sent, outbox.Sent}},
	} {
		t.Run(name, func(t *testing.T) {
			srv := smtptest.New(t, &smtptest.Config{Hook: c.hook})
			ob := open(t, nil)
			env := envelope("a@example.net", "b@example.net")
			env.Partial = c.partial
			id := enqueue(t, ob, env, nil)
			w := work(t, ob, srv, nil)
			r := w.must(c.want)
			w.stop()
			if r.ID != id || r.Attempts != c.attempts {
				t.Errorf("%+v", r)
			}
			to := map[string]int{}
			for _, m := range srv.Messages() {
				for _, addr := range m.To {
					to[addr]++
				}
			}
			for i, want := range c.each {
				got := r.Recipients[i]
				if got.Status != want || to[got.Addr] != map[outbox.Status]int{outbox.Sent: 1}[want] {
					t.Errorf("%+v, sent to it %d times, want %q", got, to[got.Addr], want)
				}
			}
			if (r.Err == "") != (c.want == outbox.Sent) {
				t.Errorf("Err is %q", r.Err)
			}
		})
	}
}

// uncertain is a server that takes the message, and hangs up without a word, n times.
func uncertain(n int) smtptest.Hook {
	return smtptest.Times(n, func(c smtptest.Command) *smtptest.Answer {
		if c.Verb != "MESSAGE" {
			return nil
		}
		return &smtptest.Answer{Close: true}
	})
}

func TestUncertain(t *testing.T) {
	for name, c := range map[string]struct {
		item, worker outbox.Policy
		want         outbox.Status
		uncertain    int
		messages     int
	}{
		"held":                  {outbox.AsWorker, outbox.AsWorker, outbox.Held, 0, 0},
		"held, says the item":   {outbox.Hold, outbox.Resend, outbox.Held, 0, 0},
		"resent":                {outbox.AsWorker, outbox.Resend, outbox.Sent, 1, 1},
		"dropped":               {outbox.AsWorker, outbox.Drop, outbox.Dropped, 0, 0},
		"resent, the item says": {outbox.Resend, outbox.Hold, outbox.Sent, 1, 1},
	} {
		t.Run(name, func(t *testing.T) {
			srv := smtptest.New(t, &smtptest.Config{Hook: uncertain(1)})
			var mu sync.Mutex
			var kinds []outbox.EventKind
			ob := open(t, func(o *outbox.Options) {
				o.Observe = func(e outbox.Event) { mu.Lock(); kinds = append(kinds, e.Kind); mu.Unlock() }
			})
			id := enqueue(t, ob, envelope(), &outbox.Item{OnUncertain: c.item})
			w := work(t, ob, srv, func(w *outbox.WorkOptions) { w.OnUncertain = c.worker })
			r := w.must(c.want)
			w.stop()
			if r.ID != id || r.Uncertain != c.uncertain || len(srv.Messages()) != c.messages {
				t.Errorf("%+v, %d messages", r, len(srv.Messages()))
			}
			if slices.Contains(kinds, outbox.EventResend) != (c.uncertain > 0) || !slices.Contains(kinds, outbox.EventUncertain) {
				t.Errorf("events: %v", kinds)
			}
		})
	}
}

func TestHeldMessage(t *testing.T) {
	srv := smtptest.New(t, &smtptest.Config{Hook: uncertain(3)})
	ob := open(t, nil)
	ctx := deadline(t)
	w := work(t, ob, srv, nil)
	var ids []outbox.ID
	for range 3 {
		ids = append(ids, enqueue(t, ob, envelope(), nil))
		w.must(outbox.Held)
	}
	if err := ob.Cancel(ctx, ids[0]); !errors.Is(err, outbox.ErrTooLate) {
		t.Errorf("Cancel of a held message: %v", err)
	}
	if _, r, err := ob.Message(ctx, ids[0]); err != nil {
		t.Errorf("the octets of a held message: %v", err)
	} else {
		r.Close()
	}
	if err := ob.Retry(ctx, ids[0]); err != nil {
		t.Fatal(err)
	}
	if r := w.must(outbox.Sent); r.ID != ids[0] || r.Uncertain != 1 || r.Attempts != 2 {
		t.Errorf("%+v", r)
	}
	for i, v := range []outbox.Verdict{outbox.WasSent, outbox.Discard} {
		if err := ob.Resolve(ctx, ids[i+1], v); err != nil {
			t.Errorf("%v: %v", v, err)
		}
		if _, _, err := ob.Message(ctx, ids[i+1]); !errors.Is(err, outbox.ErrNotFound) {
			t.Errorf("the octets of one that was resolved: %v", err)
		}
	}
	for i, want := range []outbox.Status{outbox.Sent, outbox.Sent, outbox.Dropped} {
		if r := get(t, ob, ids[i]); r.Status != want {
			t.Errorf("%d: %+v", i, r)
		}
		if err := ob.Retry(ctx, ids[i]); !errors.Is(err, outbox.ErrTooLate) || !strings.Contains(err.Error(), string(want)) {
			t.Errorf("Retry of one that is %s: %v", want, err)
		}
	}
	if n := len(srv.Messages()); n != 1 {
		t.Errorf("%d messages", n)
	}
}
