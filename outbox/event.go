package outbox

import "fmt"

// EventKind is what happened.
type EventKind string

const (
	EventQueued    EventKind = "queued"    // Enqueue stored it
	EventSettled   EventKind = "settled"   // an attempt is over; Record.Status says how
	EventUncertain EventKind = "uncertain" // the outcome of an attempt is not known; Record.Status says what follows
	EventResend    EventKind = "resend"    // it is sent again although it may have been accepted
	EventLate      EventKind = "late"      // the server accepted it for a worker that was thought dead
	EventPanic     EventKind = "panic"     // code of yours panicked
	EventEngine    EventKind = "engine"    // a call to the engine failed, and is tried again
)

// Event is something that happened to a message.
type Event struct {
	Kind   EventKind
	Record Record // of the message after it; of an engine error perhaps only the ID
	Err    error  // of EventPanic, EventEngine
}

func (o *Outbox) tell(kind EventKind, st *state, err error) {
	if kind == EventEngine {
		o.options.Logger.Error("outbox: a call to the engine failed, it is made again", "id", st.ID, "err", err)
	} else if err != nil {
		o.options.Logger.Error("outbox: "+string(kind), "id", st.ID, "err", err)
	} else if kind == EventUncertain || kind == EventResend || kind == EventLate {
		o.options.Logger.Warn("outbox: "+string(kind), "id", st.ID, "status", st.Status, "uncertain", st.Uncertain)
	}
	if o.options.Observe != nil {
		o.observe(Event{Kind: kind, Record: st.record(), Err: err})
	}
}

// observe calls Observe, whose panic must cost no message: what it tells of has happened.
func (o *Outbox) observe(e Event) {
	defer func() {
		if p := recover(); p != nil {
			o.options.Logger.Error("outbox: Observe panicked: "+cut(fmt.Sprint(p), maxErr), "event", e.Kind, "id", e.Record.ID)
		}
	}()
	o.options.Observe(e)
}
