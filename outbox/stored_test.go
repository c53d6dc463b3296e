package outbox

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/fe022423/submission"
)

func aMessage() *stored {
	return &stored{
		ID: "abc", Key: "order 17", Route: "tenant", Priority: High, OnUncertain: Resend,
		Enqueued: tomorrow, NotBefore: tomorrow.Add(time.Hour), Deadline: tomorrow.Add(2 * time.Hour),
		Headers: map[string]string{"Order": "17"},
		Envelope: submission.Envelope{From: "me@example.org", To: submission.To("a@example.net", "b@example.net"), Partial: true,
			DSN: submission.DSN{Notify: submission.NotifyFailure, EnvelopeID: "x"}, HoldFor: time.Hour, Params: []string{"A=b"}},
		Hash: "00ff", Size: 5,
	}
}

func TestStoredMessageComesBack(t *testing.T) {
	m := aMessage()
	again := aMessage()
	again.State = m.state()
	again.State.Err = "450 later"
	large := aMessage()
	large.Object = "abc.1"
	for name, c := range map[string]struct {
		m      *stored
		octets string
	}{"plain": {m, "a\x00\r\n\xff"}, "retried": {again, "12345"}, "large": {large, ""}} {
		b, err := encodeMessage(c.m, []byte(c.octets))
		if err != nil {
			t.Fatal(name, err)
		}
		got, octets, err := decodeMessage(b)
		if err != nil || !reflect.DeepEqual(got, c.m) || string(octets) != c.octets {
			t.Errorf("%s: %+v %q, %v", name, got, octets, err)
		}
		for n := range b {
			if _, _, err := decodeMessage(b[:n]); err == nil {
				t.Fatalf("%s: %d bytes of %d are taken for a message", name, n, len(b))
			}
		}
	}
}

func TestStoredStateComesBack(t *testing.T) {
	st := aMessage().state()
	st.Status, st.Worker, st.Attempts, st.Err = Committing, "w", 3, "why"
	b, err := encodeState(st)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := decodeState(b); err != nil || !reflect.DeepEqual(got, st) {
		t.Errorf("%+v, %v", got, err)
	}
	for n := range b {
		if _, err := decodeState(b[:n]); err == nil {
			t.Fatalf("%d bytes of %d are taken for a state", n, len(b))
		}
	}
}

// What cannot be read as what it should be is an error that says why.
func TestStoredThatCannotBeRead(t *testing.T) {
	st, _ := encodeState(in(Queued, Queued))
	good := string(st)
	m, _ := encodeMessage(aMessage(), []byte("12345"))
	head, rest, _ := strings.Cut(good, "\n")
	for name, c := range map[string]struct{ text, want string }{
		"nothing":          {"", "not a state"},
		"rubbish":          {"\x00\xff", "not a state"},
		"a message":        {string(m), "not a state"},
		"version 2":        {strings.Replace(good, " 1 ", " 2 ", 1), `version "2"`},
		"length too long":  {head + "0\n" + rest, "cut short"},
		"length negative":  {"outbox state 1 -1\n{}", "damaged"},
		"length huge":      {"outbox state 1 99999999999999999999\n{}", "damaged"},
		"more after it":    {good + "x", "after the state"},
		"not JSON":         {"outbox state 1 2\n{]", "cannot be read"},
		"two values":       {"outbox state 1 5\n{} {}", "something else"},
		"a new field":      {"outbox state 1 9\n{\"New\":1}", "unknown field"},
		"another type":     {"outbox state 1 12\n{\"Status\":1}", "cannot be read"},
		"no status":        {"outbox state 1 2\n{}", "unknown status"},
		"null":             {"outbox state 1 4\nnull", "unknown status"},
		"unknown status":   {strings.ReplaceAll(good, `"queued"`, `"quened"`), "unknown status"},
		"no line end":      {strings.Repeat("outbox state 1 2", 99), "not a state"},
		"unknown priority": {strings.Replace(good, `"Priority":0`, `"Priority":3`, 1), "out of range"},
		"unknown policy":   {strings.Replace(good, `"OnUncertain":0`, `"OnUncertain":4`, 1), "out of range"},
		"attempts below 0": {strings.Replace(good, `"Attempts":0`, `"Attempts":-`, 1), "cannot be read"},
	} {
		if _, err := decodeState([]byte(c.text)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	other := func(change func(*stored)) []byte {
		m := aMessage()
		change(m)
		b, _ := encodeMessage(m, []byte("12345"))
		return b
	}
	for want, b := range map[string][]byte{
		"not a message":      st,
		"without recipients": other(func(m *stored) { m.Envelope.To = nil }),
		"of which 5 are":     other(func(m *stored) { m.Size = 6 }),
		"both here and":      other(func(m *stored) { m.Object = "x" }),
		"priority or policy": other(func(m *stored) { m.Priority = 7 }),
		"other recipients":   other(func(m *stored) { m.State = in(Queued) }),
		"unknown status":     other(func(m *stored) { m.State = in("x", Queued, Queued) }),
	} {
		if _, _, err := decodeMessage(b); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

func TestShortenKeepsARecordSmall(t *testing.T) {
	st := in(Failed)
	for range 50 {
		st.Recipients = append(st.Recipients, RecipientRecord{Addr: "a@example.net", Status: Failed, Reply: strings.Repeat("é\r\n\x1b", 500)})
	}
	st.Err = strings.Repeat("\xff", 9999) + "\n"
	st.shorten()
	b, err := encodeState(st)
	if err != nil || len(b) > 1024+maxErr+maxReplies+51*60 {
		t.Errorf("%d bytes, %v", len(b), err)
	}
	if bytes.ContainsAny(b[bytes.IndexByte(b, '\n')+1:], "\r\n\x1b") {
		t.Error("control characters")
	}
	if _, err := decodeState(b); err != nil {
		t.Error(err)
	}
}

func FuzzDecode(f *testing.F) {
	m, _ := encodeMessage(aMessage(), []byte("12345"))
	st, _ := encodeState(in(Held, Held))
	f.Add(m)
	f.Add(st)
	f.Fuzz(func(t *testing.T, b []byte) {
		if st, err := decodeState(b); err == nil {
			again, err := encodeState(st)
			if err != nil {
				t.Fatal(err)
			}
			if back, err := decodeState(again); err != nil || !reflect.DeepEqual(back, st) {
				t.Errorf("%+v became %+v, %v", st, back, err)
			}
			st.record()
		}
		if m, octets, err := decodeMessage(b); err == nil {
			again, err := encodeMessage(m, octets)
			if err != nil {
				t.Fatal(err)
			}
			if back, more, err := decodeMessage(again); err != nil || !bytes.Equal(more, octets) || back.ID != m.ID {
				t.Errorf("%+v became %+v, %v", m, back, err)
			}
			m.state()
		}
	})
}
