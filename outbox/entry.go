package outbox

import (
	"fmt"

	"github.com/nats-io/nats.go"
)

// entry is one record as it was found. If it cannot be read, bad says why.
type entry struct {
	id      ID
	seq     uint64
	nonce   string
	isState bool
	state   *state // what is true of the message if this is the newest record; never nil
	message *stored
	octets  []byte
	suspect bool // it may have been in hand when a process died
	bad     error
}

func (s *store) entryOf(subject string, seq uint64, h nats.Header, data []byte) *entry {
	e := &entry{seq: seq, nonce: h.Get(headWrite)}
	e.id, e.isState = s.idOf(subject)
	if e.isState {
		e.state, e.bad = decodeState(data)
	} else if e.message, e.octets, e.bad = decodeMessage(data); e.bad == nil {
		e.state = e.message.state()
	}
	if e.bad == nil && e.state.ID != e.id {
		e.bad = fmt.Errorf("it says that it is of %.40q", string(e.state.ID))
	}
	if e.bad != nil {
		e.state = &state{ID: e.id, Status: Held, Err: cut(e.bad.Error(), maxErr)}
	}
	return e
}
