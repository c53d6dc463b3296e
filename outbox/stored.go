package outbox

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fe022423/submission"
)

// What is stored begins with a line that says what it is, in which version, and how long
// the JSON after it is:
//
//	outbox message 1 LENGTH    JSON of a stored message, then the octets of the message
//	outbox state 1 LENGTH      JSON of a state, nothing after it
//
// A reader takes no other version, and no field that it does not know: an option that it
// silently left out could be the one that mattered.
const (
	magic         = "outbox"
	kindMessage   = "message"
	kindState     = "state"
	storedVersion = 1
)

// maxHead bounds the first line: the words, a version and a length of up to ten digits.
const maxHead = 64

// stored is a message as it is kept, without its octets. It never changes, but for State when
// Retry stores it again.
type stored struct {
	ID          ID
	Key         string `json:",omitempty"`
	Route       string `json:",omitempty"`
	Priority    Priority
	OnUncertain Policy
	Enqueued    time.Time
	NotBefore   time.Time
	Deadline    time.Time
	Headers     map[string]string `json:",omitempty"`
	Envelope    submission.Envelope
	Hash        string // of the envelope and the octets, in hex
	Size        int64  // of the octets
	Object      string `json:",omitempty"` // where they are if they are not here
	State       *state `json:",omitempty"` // what is true of it now, if Retry stored it
}

// state is the state record of a message.
type state struct {
	ID          ID
	Key         string `json:",omitempty"`
	Route       string `json:",omitempty"`
	Priority    Priority
	OnUncertain Policy
	Status      Status
	Attempts    int
	Begun       int `json:",omitempty"` // attempts in a row that began, and of which nothing more is known
	Uncertain   int
	Enqueued    time.Time
	NotBefore   time.Time
	Deadline    time.Time
	Since       time.Time // when its time began to run: when it was queued, or Retry was called
	Changed     time.Time // when this record was made
	Recipients  []RecipientRecord
	Headers     map[string]string `json:",omitempty"`
	Err         string            `json:",omitempty"`
	Hash        string
	Object      string `json:",omitempty"`
	Worker      string `json:",omitempty"` // who marked it, as long as it is Committing
	Told        bool   `json:",omitempty"` // WorkOptions.OnDone was called for this state
}

// record is what the outside sees of a state.
func (st *state) record() Record {
	return Record{
		ID: st.ID, Key: st.Key, Route: st.Route, Status: st.Status, Attempts: st.Attempts, Uncertain: st.Uncertain,
		Enqueued: st.Enqueued, NotBefore: st.NotBefore, Recipients: slices.Clone(st.Recipients), Headers: st.Headers, Err: st.Err,
	}
}

// state is the state of a message that has no state record: the one that Retry gave it, or
// the one in which it begins.
func (m *stored) state() *state {
	if m.State != nil {
		st := m.State.clone()
		return &st
	}
	st := &state{
		ID: m.ID, Key: m.Key, Route: m.Route, Priority: m.Priority, OnUncertain: m.OnUncertain, Status: Queued,
		Enqueued: m.Enqueued, NotBefore: m.NotBefore, Deadline: m.Deadline, Since: m.Enqueued, Changed: m.Enqueued,
		Headers: m.Headers, Hash: m.Hash, Object: m.Object,
	}
	for _, to := range m.Envelope.To {
		st.Recipients = append(st.Recipients, RecipientRecord{Addr: to.Addr, Status: Queued})
	}
	return st
}

func (st *state) clone() state {
	c := *st
	c.Recipients = slices.Clone(st.Recipients)
	c.Begun = 0 // a record after it: something is known
	return c
}

// encodeMessage is m with its octets, which are empty if they are in an object.
func encodeMessage(m *stored, octets []byte) ([]byte, error) {
	b, err := encode(kindMessage, m)
	return append(b, octets...), err
}

func encodeState(st *state) ([]byte, error) { return encode(kindState, st) }

func encode(kind string, v any) ([]byte, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return append(fmt.Appendf(nil, "%s %s %d %d\n", magic, kind, storedVersion, len(text)), text...), nil
}

// decodeMessage reads what encodeMessage wrote. The octets are a part of b.
func decodeMessage(b []byte) (m *stored, octets []byte, err error) {
	m = new(stored)
	if octets, err = decode(kindMessage, b, m); err != nil {
		return nil, nil, err
	}
	return m, octets, m.check(octets)
}

// decodeState reads what encodeState wrote.
func decodeState(b []byte) (*state, error) {
	st := new(state)
	rest, err := decode(kindState, b, st)
	if err == nil && len(rest) > 0 {
		err = errors.New("octets after the state record")
	}
	if err == nil {
		err = st.check()
	}
	if err != nil {
		return nil, err
	}
	return st, nil
}

func decode(kind string, b []byte, v any) (rest []byte, err error) {
	head, _, found := bytes.Cut(b[:min(len(b), maxHead)], []byte("\n"))
	word := strings.Split(string(head), " ")
	if !found || len(word) != 4 || word[0] != magic || word[1] != kind {
		return nil, fmt.Errorf("this is not a %s of an outbox", kind)
	}
	if word[2] != strconv.Itoa(storedVersion) {
		return nil, fmt.Errorf("%s of version %.20q: this program reads version %d", kind, word[2], storedVersion)
	}
	body := b[len(head)+1:]
	n, err := strconv.ParseUint(word[3], 10, 31)
	if err != nil || n > uint64(len(body)) {
		return nil, fmt.Errorf("%s is cut short or damaged", kind)
	}
	d := json.NewDecoder(bytes.NewReader(body[:n]))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return nil, fmt.Errorf("%s cannot be read: %w", kind, err)
	}
	if d.InputOffset() != int64(n) {
		return nil, fmt.Errorf("%s is followed by something else", kind)
	}
	return body[n:], nil
}

func (m *stored) check(octets []byte) error {
	switch {
	case m.Priority > Low || m.OnUncertain > Drop:
		return errors.New("message with an unknown priority or policy")
	case len(m.Envelope.To) == 0:
		return errors.New("message without recipients")
	case m.Object == "" && int64(len(octets)) != m.Size:
		return fmt.Errorf("message of %d bytes, of which %d are here", m.Size, len(octets))
	case m.Object != "" && len(octets) > 0:
		return errors.New("message that is both here and in an object")
	case m.State == nil:
		return nil
	case len(m.State.Recipients) != len(m.Envelope.To):
		return errors.New("message whose state has other recipients")
	}
	return m.State.check()
}

var statuses = []Status{Queued, Deferred, Committing, Sent, PartlySent, Failed, Held, Canceled, Dropped}

func (st *state) check() error {
	if !slices.Contains(statuses, st.Status) {
		return fmt.Errorf("state record with the unknown status %.20q", string(st.Status))
	}
	if st.Priority > Low || st.OnUncertain > Drop || st.Attempts < 0 || st.Begun < 0 || st.Uncertain < 0 {
		return errors.New("state record with a number that is out of range")
	}
	for _, r := range st.Recipients {
		switch r.Status {
		case Queued, Sent, Failed, Held:
		default:
			return fmt.Errorf("state record with the unknown status %.20q of a recipient", string(r.Status))
		}
	}
	return nil
}

// Limits of what a state record repeats, so that the room that Enqueue keeps free for it
// suffices.
const (
	maxErr     = 400
	maxReply   = 200
	maxReplies = 600 // of all recipients together
)

// shorten keeps the texts of a state record within their limits.
func (st *state) shorten() {
	st.Err = cut(st.Err, maxErr)
	left := maxReplies
	for i := range st.Recipients {
		r := &st.Recipients[i]
		r.Reply = cut(r.Reply, min(maxReply, left))
		left -= len(r.Reply)
	}
}

// cut makes one line of s, at most n bytes long.
func cut(s string, n int) string {
	s = strings.ToValidUTF8(strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s), "?")
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:max(n, 0)], "")
}
