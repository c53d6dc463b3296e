package outbox

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// store is the stream, with the few calls that the queue is made of. Each may be where the
// process dies, so each passes the seam, before and after.
type store struct {
	name   string
	nc     *nats.Conn
	js     jetstream.JetStream
	stream jetstream.Stream
	large  jetstream.ObjectStore
	remote bool         // it is kept by servers that are not in this process
	sync   func() error // makes durable what the engine acknowledged, if it does not by itself; or nil
	staged func() error // the same for batches before their commit
	group  grouping
	seam   func(call string) error // nil but in tests; an error is a crash at this point
	dir    string                  // of an engine in this process
	free   func() (int64, bool)    // the bytes that dir takes; nil without an engine in this process
	again  time.Duration           // engineDelay but in tests
	poll   time.Duration           // idlePoll but in tests
}

// The headers of what is stored. They repeat what a list needs to know without the payload.
const (
	headWrite     = "Outbox-Write"    // different for each write: it is how a writer knows its own
	headStatus    = "Outbox-Status"   // of a state record, and of a message that Retry stored
	headChanged   = "Outbox-Changed"  // when it came to that, RFC 3339
	headEnqueued  = "Outbox-Enqueued" // RFC 3339
	headRoute     = "Outbox-Route"
	headNotBefore = "Outbox-Not-Before" // RFC 3339; of a message, and of the state Deferred

	headExpect        = "Nats-Expected-Last-Subject-Sequence"
	headExpectSubject = "Nats-Expected-Last-Subject-Sequence-Subject"
)

const (
	publishTries = 3
	publishTime  = 5 * time.Second // of one try: a sync on a busy disk takes a while
	publishAll   = publishTries * publishTime
	publishPause = 50 * time.Millisecond // after the first try that failed at once, then doubled
)

var priorityTokens = [...]string{Normal: "normal", High: "high", Low: "low"}

func (s *store) messageSubject(id ID, p Priority) string {
	return s.name + "." + string(id) + ".m." + priorityTokens[p]
}
func (s *store) stateSubject(id ID) string { return s.name + "." + string(id) + ".s" }
func (s *store) anySubject(id ID) string   { return s.name + "." + string(id) + ".>" }
func (s *store) wakeSubject() string       { return s.name + ".wake" } // not of the stream

// idOf is the ID in a subject, and whether it is that of a state record.
func (s *store) idOf(subject string) (id ID, isState bool) {
	token := strings.Split(strings.TrimPrefix(subject, s.name+"."), ".")
	return ID(token[0]), len(token) > 1 && token[1] == "s"
}

func (s *store) pass(call string) error {
	if s.seam == nil {
		return nil
	}
	return s.seam(call)
}

// last is the newest of what is stored of a message: its state record, or the message itself
// as long as it has none and after a Retry. ErrNotFound says that there is nothing.
func (s *store) last(ctx context.Context, id ID) (*entry, error) {
	if err := s.pass("last"); err != nil {
		return nil, err
	}
	e, err := s.newestOf(ctx, s.anySubject(id))
	if wrong := s.pass("last done"); wrong != nil {
		return nil, wrong
	}
	return e, err
}

// message is the message itself, with its octets unless they are in an object.
func (s *store) message(ctx context.Context, id ID) (*entry, error) {
	if err := s.pass("message"); err != nil {
		return nil, err
	}
	e, err := s.newestOf(ctx, s.name+"."+string(id)+".m.*")
	if wrong := s.pass("message done"); wrong != nil {
		return nil, wrong
	}
	return e, err
}

func (s *store) newestOf(ctx context.Context, subject string) (*entry, error) {
	raw, err := s.stream.GetLastMsgForSubject(ctx, subject)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	return s.entryOf(raw.Subject, raw.Sequence, raw.Header, raw.Data), nil
}

// publish stores a record of a message if the newest one has the sequence expect; 0 is none.
// When an answer is lost, or nobody is there to give one, it asks again, for publishAll at
// most, and recognizes its own write. errMoved says that another write came first.
func (s *store) publish(ctx context.Context, m *nats.Msg, id ID, expect uint64) (uint64, error) {
	nonce := newNonce()
	m.Header.Set(headWrite, nonce)
	m.Header.Set(headExpect, strconv.FormatUint(expect, 10))
	m.Header.Set(headExpectSubject, s.anySubject(id))
	if err := s.pass("publish"); err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, publishAll)
	defer cancel()
	unclear := false // an earlier try may have been stored
	for pause := publishPause; ; pause = min(2*pause, time.Second) {
		if err := s.diskRoom(int64(len(m.Data)), spareForRecords); err != nil {
			if unclear {
				err = fmt.Errorf("no answer, and then: %v", err)
			}
			return 0, err
		}
		seq, err := s.send(ctx, m)
		if isWrongSequence(err) {
			seq, err = s.mine(ctx, id, nonce, expect)
		}
		if err == nil {
			err = s.durable()
		}
		if err == nil {
			err = s.pass("published")
		}
		if err == nil {
			return seq, nil
		}
		again := maybeStored(err) || isSilent(err)
		if unclear && !maybeStored(err) && !errors.Is(err, errMoved) {
			err = fmt.Errorf("no answer, and then: %v", s.explained(err)) // what refused this try says nothing of the first one
		}
		unclear = unclear || maybeStored(err)
		if again {
			select {
			case <-time.After(pause):
			case <-ctx.Done():
			}
		}
		if !again || ctx.Err() != nil {
			return 0, s.explained(err)
		}
	}
}

// durable returns when what the engine acknowledged is durable.
func (s *store) durable() error {
	if s.sync == nil {
		return nil
	}
	return s.sync()
}

func (s *store) publishOnce(ctx context.Context, m *nats.Msg) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, publishTime)
	defer cancel()
	ack, err := s.js.PublishMsg(ctx, m, jetstream.WithRetryAttempts(0))
	if err != nil {
		return 0, err
	}
	return ack.Sequence, nil
}

// mine is the sequence of the newest record if it has this nonce. A cluster refuses a write as
// well while another one is not decided: then the record is still the expected one.
func (s *store) mine(ctx context.Context, id ID, nonce string, expect uint64) (uint64, error) {
	switch e, err := s.last(ctx, id); {
	case err == nil && e.nonce == nonce:
		return e.seq, nil
	case err == nil && e.seq == expect, errors.Is(err, ErrNotFound) && expect == 0:
		return 0, errUnderWay
	case err == nil || errors.Is(err, ErrNotFound):
		return 0, errMoved
	default:
		return 0, err
	}
}

func (s *store) remove(ctx context.Context, seq uint64) error {
	if err := s.pass("remove"); err != nil {
		return err
	}
	err := s.stream.DeleteMsg(ctx, seq)
	if errors.Is(err, jetstream.ErrMsgDeleteUnsuccessful) {
		if _, gone := s.stream.GetMsg(ctx, seq); errors.Is(gone, jetstream.ErrMsgNotFound) {
			err = nil
		}
	}
	if err == nil {
		err = s.pass("removed")
	}
	return err
}

// putState stores a state over the record with the sequence expect.
func (s *store) putState(ctx context.Context, st *state, expect uint64) (uint64, error) {
	st.Changed = time.Now().UTC()
	st.shorten()
	b, err := encodeState(st)
	if err != nil {
		return 0, err
	}
	m := &nats.Msg{Subject: s.stateSubject(st.ID), Data: b, Header: heads(st)}
	seq, err := s.publish(ctx, m, st.ID, expect)
	if isFull(err) { // without the texts it may fit
		for i := range st.Recipients {
			st.Recipients[i].Reply = ""
		}
		st.Err = cut(st.Err, maxErr/8)
		if m.Data, err = encodeState(st); err == nil {
			seq, err = s.publish(ctx, m, st.ID, expect)
		}
	}
	return seq, err
}

func heads(st *state) nats.Header {
	h := nats.Header{}
	h.Set(headStatus, string(st.Status))
	h.Set(headChanged, st.Changed.Format(time.RFC3339Nano))
	h.Set(headEnqueued, st.Enqueued.Format(time.RFC3339Nano))
	if st.Route != "" {
		h.Set(headRoute, st.Route)
	}
	if !st.NotBefore.IsZero() {
		h.Set(headNotBefore, st.NotBefore.Format(time.RFC3339Nano))
	}
	return h
}

func newNonce() string { return strings.ToLower(rand.Text()) }

func isCode(err error, codes ...jetstream.ErrorCode) bool {
	var api *jetstream.APIError
	if !errors.As(err, &api) {
		return false
	}
	for _, c := range codes {
		if api.ErrorCode == c {
			return true
		}
	}
	return false
}

func isWrongSequence(err error) bool { return isCode(err, 10071, 10164) }

// isFull reports whether the engine refused to store for want of room.
func isFull(err error) bool {
	return isCode(err, 10077) && strings.Contains(err.Error(), "maximum") || isCode(err, 10023, 10047, 10002)
}

// maybeStored reports whether a publish that failed may have been stored, or is worth another
// try: there was no answer.
func maybeStored(err error) bool {
	var api *jetstream.APIError
	return !errors.As(err, &api) && !errors.Is(err, errMoved) && !errors.Is(err, errAbandoned) && !errors.Is(err, nats.ErrMaxPayload)
}
