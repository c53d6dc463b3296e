package outbox

import (
	"errors"
	"testing"
	"time"
)

// The edges of the state machine, one test each, as the table of the specification has them:
// what a state goes to, and what it refuses.

var tomorrow = time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)

// in is a state with recipients of these statuses.
func in(status Status, recipients ...Status) *state {
	st := &state{ID: "id", Status: status}
	for i, r := range recipients {
		st.Recipients = append(st.Recipients, RecipientRecord{Addr: string(rune('a'+i)) + "@example.net", Status: r})
	}
	return st
}

// says is an outcome with these statuses.
func says(at time.Time, recipients ...Status) outcome {
	o := outcome{retryAt: at}
	for _, r := range recipients {
		o.recipients = append(o.recipients, RecipientRecord{Status: r})
	}
	return o
}

func (st *state) must(t *testing.T, status Status, recipients ...Status) {
	t.Helper()
	if st.Status != status {
		t.Errorf("status is %q, want %q", st.Status, status)
	}
	for i, want := range recipients {
		if got := st.Recipients[i].Status; got != want {
			t.Errorf("recipient %d is %q, want %q", i, got, want)
		}
	}
	if st.Worker != "" && st.Status != Committing {
		t.Errorf("%q still names the worker %q", st.Status, st.Worker)
	}
	if !st.NotBefore.IsZero() && st.Status != Deferred {
		t.Errorf("%q still waits until %v", st.Status, st.NotBefore)
	}
}

func TestEdgesOfTheStateMachine(t *testing.T) {
	never := time.Time{}
	now := func(st *state, err error) *state {
		if err != nil {
			panic(err)
		}
		return st
	}
	committing := func(r ...Status) *state { st := in(Committing, r...); st.Worker = "w"; st.Attempts = 1; return st }
	edges := []struct {
		name string
		got  func() *state
		want Status
		to   []Status
	}{
		{"queued, mark", func() *state { return now(in(Queued, Queued).marked("w")) }, Committing, []Status{Queued}},
		{"deferred, mark", func() *state { return now(in(Deferred, Sent, Queued).marked("w")) }, Committing, []Status{Sent, Queued}},
		{"committing, accepted", func() *state { return committing(Queued).settled(says(never, Sent)) }, Sent, []Status{Sent}},
		{"committing, refused for now", func() *state { return committing(Queued).settled(says(tomorrow, Queued)) }, Deferred, []Status{Queued}},
		{"committing, partly sent, the rest later", func() *state { return committing(Queued, Queued).settled(says(tomorrow, Sent, Queued)) }, Deferred, []Status{Sent, Queued}},
		{"committing, partly sent, the rest refused", func() *state { return committing(Queued, Queued).settled(says(never, Sent, Failed)) }, PartlySent, []Status{Sent, Failed}},
		{"committing, refused for good", func() *state { return committing(Queued).settled(says(never, Failed)) }, Failed, []Status{Failed}},
		{"committing, no more tries", func() *state { return committing(Queued).settled(says(never, Queued)) }, Failed, []Status{Failed}},
		{"committing, second attempt completes", func() *state { return committing(Sent, Queued).settled(says(never, "", Sent)) }, Sent, []Status{Sent, Sent}},
		{"committing, sent stays sent", func() *state { return committing(Sent, Queued).settled(says(never, Failed, Failed)) }, PartlySent, []Status{Sent, Failed}},
		{"committing, unknown, hold", func() *state { return now(committing(Queued).uncertain(outcome{}, Hold)) }, Held, []Status{Held}},
		{"committing, unknown, as the worker says by default", func() *state { return now(committing(Queued).uncertain(outcome{}, AsWorker)) }, Held, []Status{Held}},
		{"committing, unknown, resend", func() *state { return now(committing(Queued).uncertain(says(tomorrow), Resend)) }, Deferred, []Status{Queued}},
		{"committing, unknown, drop", func() *state { return now(committing(Queued).uncertain(outcome{}, Drop)) }, Dropped, []Status{Held}},
		{"committing, unknown for one of three", func() *state {
			return now(committing(Queued, Queued, Queued).uncertain(says(never, Sent, Failed), Hold))
		}, Held, []Status{Sent, Failed, Held}},
		{"committing, unknown, but everyone has it", func() *state { return now(committing(Sent).uncertain(outcome{}, Hold)) }, Sent, []Status{Sent}},
		{"queued, fails before the mark", func() *state { return in(Queued, Queued).settled(says(tomorrow, Queued)) }, Deferred, []Status{Queued}},
		{"queued, refused before the mark", func() *state { return in(Queued, Queued).settled(says(never, Failed)) }, Failed, []Status{Failed}},
		{"queued, cannot be read", func() *state { return now(in(Queued, Queued).withheld("why")) }, Held, []Status{Queued}},
		{"held, the verdict comes after all", func() *state { return in(Held, Held).late(says(never, Sent)) }, Sent, []Status{Sent}},
		{"held, the verdict is: for one of two", func() *state { return in(Held, Held, Held).late(says(never, Sent, Queued)) }, Deferred, []Status{Sent, Queued}},
		{"deferred to be resent, the verdict comes after all", func() *state { return in(Deferred, Queued).late(says(never, Sent)) }, Sent, []Status{Sent}},
		{"committing again, the verdict of the first comes", func() *state { return committing(Queued).late(says(never, Sent)) }, Sent, []Status{Sent}},
		{"dropped, the verdict comes after all", func() *state { return in(Dropped, Held).late(says(never, Sent)) }, Sent, []Status{Sent}},
		{"canceled, the verdict comes after all", func() *state { return in(Canceled, Queued).late(says(never, Sent)) }, Sent, []Status{Sent}},
		{"canceled, the verdict comes for one of two", func() *state { return in(Canceled, Queued, Queued).late(says(never, Sent)) }, Canceled, []Status{Sent, Queued}},
		{"failed, the verdict comes after all", func() *state { return in(Failed, Failed).late(says(never, Sent)) }, Sent, []Status{Sent}},
		{"queued, cancel", func() *state { return now(in(Queued, Queued).canceled()) }, Canceled, nil},
		{"deferred, cancel", func() *state { return now(in(Deferred, Queued).canceled()) }, Canceled, nil},
		{"failed, retry", func() *state { return now(in(Failed, Failed).retried()) }, Queued, []Status{Queued}},
		{"held, retry", func() *state { return now(in(Held, Held, Sent).retried()) }, Queued, []Status{Queued, Sent}},
		{"deferred, retry", func() *state { return now(in(Deferred, Queued).retried()) }, Queued, []Status{Queued}},
		{"partly sent, retry", func() *state { return now(in(PartlySent, Sent, Failed).retried()) }, Queued, []Status{Sent, Queued}},
		{"held, it was sent", func() *state { return now(in(Held, Held, Failed).resolved(WasSent)) }, Sent, []Status{Sent, Sent}},
		{"failed, it was sent", func() *state { return now(in(Failed, Failed).resolved(WasSent)) }, Sent, []Status{Sent}},
		{"held, discard", func() *state { return now(in(Held, Held).resolved(Discard)) }, Dropped, []Status{Held}},
		{"failed, discard", func() *state { return now(in(Failed, Failed).resolved(Discard)) }, Dropped, nil},
		{"partly sent, discard", func() *state { return now(in(PartlySent, Sent, Failed).resolved(Discard)) }, Dropped, []Status{Sent, Failed}},
	}
	for _, e := range edges {
		t.Run(e.name, func(t *testing.T) { e.got().must(t, e.want, e.to...) })
	}
}

func TestEdgesThatAreRefused(t *testing.T) {
	events := map[string]struct {
		from []Status // where it is allowed
		do   func(*state) (*state, error)
	}{
		"mark":      {[]Status{Queued, Deferred}, func(st *state) (*state, error) { return st.marked("w") }},
		"uncertain": {[]Status{Committing}, func(st *state) (*state, error) { return st.uncertain(outcome{}, Hold) }},
		"hold":      {[]Status{Queued, Deferred}, func(st *state) (*state, error) { return st.withheld("") }},
		"cancel":    {[]Status{Queued, Deferred}, (*state).canceled},
		"retry":     {[]Status{Failed, Held, Deferred, PartlySent}, (*state).retried},
		"was sent":  {[]Status{Failed, Held, PartlySent}, func(st *state) (*state, error) { return st.resolved(WasSent) }},
		"discard":   {[]Status{Failed, Held, PartlySent}, func(st *state) (*state, error) { return st.resolved(Discard) }},
	}
	for name, event := range events {
		for _, status := range statuses {
			want := false
			for _, s := range event.from {
				want = want || s == status
			}
			before := in(status, Queued)
			_, err := event.do(before)
			if want != (err == nil) {
				t.Errorf("%s of a message that is %s: %v", name, status, err)
			}
			if err != nil && !errors.Is(err, ErrTooLate) {
				t.Errorf("%s of a message that is %s: %v is not ErrTooLate", name, status, err)
			}
			before.must(t, status, Queued) // events change nothing in place
		}
	}
}

// Each time that a message is given free although it may have been accepted counts, and no other.
func TestUncertainIsCounted(t *testing.T) {
	mark := func(st *state) *state { next, _ := st.marked("w"); return next }
	unsure := func(p Policy) func(*state) *state {
		return func(st *state) *state { next, _ := st.uncertain(outcome{}, p); return next }
	}
	retry := func(st *state) *state { next, _ := st.retried(); return next }
	refused := func(st *state) *state { return st.settled(says(tomorrow, Queued)) }
	fails := func(st *state) *state { return st.settled(says(time.Time{}, Failed)) }
	for _, c := range []struct {
		name                string
		steps               []func(*state) *state
		uncertain, attempts int
	}{
		{"refused and tried again", []func(*state) *state{mark, refused, mark}, 0, 2},
		{"held", []func(*state) *state{mark, unsure(Hold)}, 0, 1},
		{"held and retried", []func(*state) *state{mark, unsure(Hold), retry, mark}, 1, 2},
		{"resent", []func(*state) *state{mark, unsure(Resend), mark}, 1, 2},
		{"resent twice", []func(*state) *state{mark, unsure(Resend), mark, unsure(Resend)}, 2, 2},
		{"failed and retried", []func(*state) *state{mark, fails, retry}, 0, 1},
		{"failed before the mark", []func(*state) *state{fails, retry, refused}, 0, 2},
	} {
		st := in(Queued, Queued)
		for _, step := range c.steps {
			st = step(st)
		}
		if st.Uncertain != c.uncertain || st.Attempts != c.attempts {
			t.Errorf("%s: Uncertain %d, Attempts %d, want %d, %d", c.name, st.Uncertain, st.Attempts, c.uncertain, c.attempts)
		}
	}
}

func TestPolicyOfTheItemComesFirst(t *testing.T) {
	for _, c := range []struct{ item, worker, want Policy }{
		{AsWorker, AsWorker, Hold}, {AsWorker, Hold, Hold}, {AsWorker, Resend, Resend}, {AsWorker, Drop, Drop},
		{Hold, Resend, Hold}, {Resend, Hold, Resend}, {Drop, AsWorker, Drop},
	} {
		if got := (&state{OnUncertain: c.item}).policy(c.worker); got != c.want {
			t.Errorf("item %d, worker %d: %d, want %d", c.item, c.worker, got, c.want)
		}
	}
}
