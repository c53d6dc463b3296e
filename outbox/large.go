package outbox

import (
	"context"
	"errors"
	"io"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Messages above maxInline are objects, named by the ID of the message and a nonce: two that
// are queued at once with one key must not share one.

// orphanAge is how long an object may be without its message: Enqueue stores it first, and may
// take a while for the rest of a large message.
const orphanAge = time.Hour

func (s *store) putObject(ctx context.Context, name string, r io.Reader) error {
	if err := s.pass("put"); err != nil {
		return err
	}
	if err := s.diskRoom(maxInline, spareForMail); err != nil {
		return err
	}
	long, stop := newPatient(ctx)
	defer stop()
	_, err := s.large.Put(long, jetstream.ObjectMeta{Name: name}, &upload{Reader: r, ctx: long, store: s})
	if err == nil {
		err = s.durable()
	}
	if err == nil {
		err = s.pass("put done")
	}
	return err
}

// objectsStored returns when the engine has stored the parts of objects that were published
// over this connection until now. It publishes after them what the engine refuses.
func (s *store) objectsStored(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, objectRead)
	defer cancel()
	m := &nats.Msg{Subject: "$O." + s.name + largeSuffix + ".C.stored", Header: nats.Header{}}
	m.Header.Set("Nats-Expected-Stream", "none")
	_, err := s.nc.RequestMsgWithContext(ctx, m)
	return err
}

// dropObject removes an object that nobody needs. What it leaves is swept later.
func (s *store) dropObject(ctx context.Context, name string) {
	if name == "" || s.pass("drop") != nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), publishTime)
	defer cancel()
	s.large.Delete(ctx, name)
	s.pass("drop done")
}

// dropUnneeded removes the object of a message that was refused, unless the message with its key
// has it: an earlier try of the same call may have stored that.
func (s *store) dropUnneeded(ctx context.Context, m *stored) {
	if m.Object == "" {
		return
	}
	if needed, err := s.needs(ctx, m.ID, m.Object); err == nil && !needed {
		s.dropObject(ctx, m.Object)
	}
}

// needs reports whether the message with an ID has its octets in an object, or may have.
func (s *store) needs(ctx context.Context, id ID, object string) (bool, error) {
	e, err := s.message(ctx, id)
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	return err == nil && (e.bad != nil || e.message.Object == object), err
}

// sweepObjects removes the objects older than age that no message needs: a crash leaves them.
func (s *store) sweepObjects(ctx context.Context, age time.Duration) (removed int, err error) {
	list, err := s.large.List(ctx)
	if err != nil && !errors.Is(err, jetstream.ErrNoObjectsFound) {
		return 0, err
	}
	for _, info := range list {
		if time.Since(info.ModTime) < age {
			continue
		}
		id, _, _ := strings.Cut(info.Name, ".")
		switch needed, err := s.needs(ctx, ID(id), info.Name); {
		case err != nil:
			return removed, err
		case needed:
			continue
		}
		if err := s.large.Delete(ctx, info.Name); err != nil {
			return removed, err
		}
		removed++
	}
	return removed, nil
}

// open is the octets of a message.
func (s *store) open(ctx context.Context, e *entry) (io.ReadCloser, error) {
	if e.message.Object == "" {
		return io.NopCloser(strings.NewReader(string(e.octets))), nil
	}
	if err := s.pass("object"); err != nil {
		return nil, err
	}
	long, stop := newPatient(ctx)
	body, err := s.large.Get(long, e.message.Object)
	if err == nil {
		if err = s.pass("object done"); err != nil {
			body.Close()
		}
	}
	if err != nil {
		stop()
		return nil, err
	}
	return transfer{body, stop}, nil
}

// transfer is a large message that is read from the store.
type transfer struct {
	io.ReadCloser
	stop context.CancelFunc
}

func (t transfer) Close() error {
	defer t.stop()
	return t.ReadCloser.Close()
}
