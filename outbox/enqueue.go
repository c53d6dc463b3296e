package outbox

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/fe022423/submission"
)

const (
	maxKey     = 256
	maxRoute   = 128
	maxHeaders = 4 << 10
	// maxInline is how large a message may be that is kept in the stream itself: the usual
	// max_payload of a server is 1 MiB, the envelope included.
	maxInline = 256 << 10
)

// Enqueue stores a message and returns when it is durable. The envelope is checked first, as
// submission.Client.Begin does, so that one that could never be sent is refused here. msg is
// read to its end; its bytes are sent as they are, at each attempt the same. A nil Item is the
// zero Item.
//
// Servers that do not answer are asked again, for 15 seconds or until ctx is done: the choice
// of another leader in a cluster takes less. The error then says what is perhaps wrong.
//
// ErrDuplicate and ErrConflict come with the ID of the message that has the key. ErrFull, and
// what is wrong with the arguments or with msg, mean that it was not stored. After any other
// error it is perhaps stored: call again with the same key.
func (o *Outbox) Enqueue(ctx context.Context, env submission.Envelope, msg io.Reader, it *Item) (ID, error) {
	if err := o.begin(); err != nil {
		return "", failed("enqueue", err)
	}
	d, err := o.draft(ctx, Message{env, msg, it})
	if err != nil {
		return "", failed("enqueue", o.roomHint(err))
	}
	id, err := o.storeOne(ctx, d)
	return id, failed("enqueue", o.roomHint(err))
}

// draft is a message that is ready to be stored. Its octets may be in an object already.
type draft struct {
	stored *stored
	data   []byte
}

// draft checks a message and reads it.
func (o *Outbox) draft(ctx context.Context, m Message) (*draft, error) {
	it := m.Item
	if it == nil {
		it = &Item{}
	}
	if err := m.check(ctx, o.checker); err != nil {
		return nil, err
	}
	s := &stored{
		ID: IDOf(it.Key), Key: it.Key, Route: it.Route, Priority: it.Priority, OnUncertain: it.OnUncertain,
		Enqueued: time.Now().UTC(), NotBefore: inUTC(it.NotBefore), Deadline: inUTC(it.Deadline),
		Headers: it.Headers, Envelope: m.Envelope,
	}
	envelope, err := json.Marshal(m.Envelope)
	if err != nil {
		return nil, err
	}
	sum := sha256.New()
	sum.Write(append(envelope, '\n'))
	octets, err := o.readBody(ctx, s, m.Body, sum)
	if err != nil {
		return nil, err
	}
	s.Hash = hex.EncodeToString(sum.Sum(nil))
	d := &draft{stored: s}
	if d.data, err = encodeMessage(s, octets); err == nil && int64(len(d.data))+1024 > o.nc.MaxPayload() {
		err = fmt.Errorf("the envelope is too large for the engine, whose max_payload is %d bytes", o.nc.MaxPayload())
	}
	return d, err
}

func inUTC(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return t.UTC().Round(0)
}

// Check is the error with which Enqueue would refuse the envelope, the Item or a nil Body, for
// those who store a message elsewhere first. It reads nothing and asks nobody.
func (m Message) Check() error {
	c, err := newChecker()
	if err == nil {
		err = m.check(context.Background(), c)
	}
	return failed("check", err)
}

// newChecker is a client that never connects: it only checks envelopes, with the sender left
// to the worker's client.
func newChecker() (*submission.Client, error) {
	return submission.New("localhost", &submission.Options{From: submission.NullSender})
}

func (m Message) check(ctx context.Context, c *submission.Client) error {
	it, size := m.Item, 0
	if it == nil {
		it = &Item{}
	}
	for k, v := range it.Headers {
		size += len(k) + len(v)
	}
	switch {
	case len(it.Key) > maxKey:
		return fmt.Errorf("Item.Key has %d bytes, at most %d are allowed", len(it.Key), maxKey)
	case len(it.Route) > maxRoute || strings.ContainsFunc(it.Route, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return fmt.Errorf("Item.Route is longer than %d bytes or has control characters", maxRoute)
	case size > maxHeaders:
		return fmt.Errorf("Item.Headers have %d bytes, at most %d are allowed", size, maxHeaders)
	case it.Priority > Low:
		return fmt.Errorf("Item.Priority %d is unknown", it.Priority)
	case it.OnUncertain > Drop:
		return fmt.Errorf("Item.OnUncertain %d is unknown", it.OnUncertain)
	}
	tx, err := c.Begin(ctx, m.Envelope)
	if err != nil {
		return err
	}
	tx.Abort()
	if m.Body == nil {
		return errors.New("no message")
	}
	return nil
}

// IDOf is the ID that a message with this key has in every queue. Without a key it is a random
// one, different at each call.
func IDOf(key string) ID {
	if key == "" {
		return ID(newNonce())
	}
	sum := sha256.Sum256([]byte("outbox key\n" + key))
	return ID(strings.ToLower(base32.StdEncoding.EncodeToString(sum[:])[:32]))
}

// readBody reads the octets of a message and returns them, or puts them into an object if
// they are many.
func (o *Outbox) readBody(ctx context.Context, s *stored, body io.Reader, sum hash.Hash) ([]byte, error) {
	counted := &counter{r: io.TeeReader(body, sum)}
	octets, err := io.ReadAll(io.LimitReader(counted, maxInline+1))
	if err != nil {
		return nil, fmt.Errorf("the message cannot be read: %w", err)
	}
	s.Size = counted.n
	if len(octets) <= maxInline {
		return octets, nil
	}
	s.Object = string(s.ID) + "." + newNonce()
	err = o.putObject(ctx, s.Object, io.MultiReader(bytes.NewReader(octets), counted))
	s.Size = counted.n
	switch {
	case counted.err != nil:
		return nil, fmt.Errorf("the message cannot be read: %w", counted.err)
	case isFull(err):
		return nil, ErrFull
	}
	return nil, err
}

// counter counts what is read, and keeps the error.
type counter struct {
	r   io.Reader
	n   int64
	err error
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	if err != nil && err != io.EOF {
		c.err = err
	}
	return n, err
}

// storeOne stores one message, if there is room and its key is free.
func (o *Outbox) storeOne(ctx context.Context, d *draft) (ID, error) {
	s := d.stored
	err := o.room(ctx, int64(len(d.data)), 1)
	if err == nil {
		_, err = o.publish(ctx, o.newMsg(d), s.ID, 0)
	}
	switch {
	case isFull(err):
		err = ErrFull
	case errors.Is(err, errMoved):
		err = o.compare(ctx, s)
		if s.Key == "" && errors.Is(err, ErrDuplicate) { // nobody else has its ID: the answer was lost
			err = nil
		}
	}
	if err != nil {
		if isFinal(err) {
			o.dropUnneeded(ctx, s)
		}
		if errors.Is(err, ErrDuplicate) || errors.Is(err, ErrConflict) || maybeStored(err) && s.Key != "" {
			return s.ID, err
		}
		return "", err
	}
	o.stored(s)
	return s.ID, nil
}

// isFinal reports whether an error of a publish says that the message was not stored by it.
func isFinal(err error) bool {
	return !maybeStored(err) || errors.Is(err, ErrFull) || errors.Is(err, ErrDuplicate) || errors.Is(err, ErrConflict)
}

// stored tells those who wait that there is something to do.
func (o *Outbox) stored(s *stored) {
	o.nc.Publish(o.wakeSubject(), nil)
	o.tell(EventQueued, s.state(), nil)
}

func (o *Outbox) newMsg(d *draft) *nats.Msg {
	st := d.stored.state()
	return &nats.Msg{Subject: o.messageSubject(d.stored.ID, d.stored.Priority), Data: d.data, Header: heads(st)}
}

// compare says how a message whose key is taken compares with the one that has it.
func (o *Outbox) compare(ctx context.Context, s *stored) error {
	e, err := o.last(ctx, s.ID)
	switch {
	case err != nil:
		return err
	case e.bad == nil && e.state.Hash == s.Hash:
		return ErrDuplicate
	default:
		return ErrConflict
	}
}

// A full queue must be able to empty itself: the records of what is queued need room, which
// Enqueue leaves alone. A record repeats the recipients of its message and little more.
const (
	recordRoom  = 1536 // of each message: what a record has beside its recipients
	recordShare = 4    // a quarter of the octets: for the recipients
	reserve     = 16   // a sixteenth of the whole: for what several processes enqueue at once
)

// room is ErrFull if n more messages with so many bytes would touch the room that the records
// need.
func (o *Outbox) room(ctx context.Context, bytes, n int64) error {
	if err := o.diskRoom(bytes, spareForMail); err != nil {
		return err
	}
	limit := o.stream.CachedInfo().Config.MaxBytes
	if limit <= 0 {
		return nil
	}
	if err := o.pass("info"); err != nil {
		return err
	}
	info, err := o.stream.Info(ctx)
	if err == nil {
		err = o.pass("info done")
	}
	if err != nil {
		return err
	}
	used := int64(info.State.Bytes) + bytes
	if used+used/recordShare+(int64(info.State.Msgs)+n)*recordRoom+limit/reserve > limit {
		return ErrFull
	}
	return nil
}
