package link

import "time"

// Owed is a reply that the server owes: for which message, to what, and which
// one of its kind.
type Owed struct {
	Message Sink
	Step    Step
	Index   int
	Soon    bool // it is waited for no longer than soonTime
}

// soonTime is how long a reply may take that costs a server nothing, once it has
// answered what was in front.
const soonTime = 5 * time.Second

// Sink takes in the replies of one message.
type Sink interface {
	// Hear takes the reply that o was owed. An answer that is not nil breaks
	// the link.
	Hear(o Owed, r Reply) *Failure
	// Miss says that the reply that o was owed will not come.
	Miss(o Owed, why *Failure)
}

// queue holds what is owed, in the order in which it was asked for.
type queue struct {
	list []Owed
	next int
}

func (q *queue) push(o Owed) {
	if q.next > 0 && len(q.list) == cap(q.list) { // it may never become empty
		n := copy(q.list, q.list[q.next:])
		clear(q.list[n:])
		q.list, q.next = q.list[:n], 0
	}
	q.list = append(q.list, o)
}

// first returns the message of what is owed first, nil when nothing is.
func (q *queue) first() Sink {
	if q.next == len(q.list) {
		return nil
	}
	return q.list[q.next].Message
}

func (q *queue) pop() (o Owed, ok bool) {
	if q.next == len(q.list) {
		q.list, q.next = q.list[:0], 0
		return Owed{}, false
	}
	o = q.list[q.next]
	q.list[q.next] = Owed{}
	q.next++
	return o, true
}
