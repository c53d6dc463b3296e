package outbox

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// houseTime is how often records that have expired, and objects without a message, are removed.
const houseTime = time.Hour

// sweepTime bounds that: what is left is removed the next time.
const sweepTime = 5 * time.Minute

// keepHouse reads which routes are paused, and sweeps, until ctx is done.
func (k *work) keepHouse(ctx context.Context) {
	var swept time.Time
	t := time.NewTicker(max(k.Lease/3, time.Millisecond))
	defer t.Stop()
	silent := false // a line when it begins and one when it ends, not one for each try
	for {
		switch err := k.readPaused(ctx); {
		case ctx.Err() != nil:
		case err != nil && !silent:
			silent = true
			k.options.Logger.Warn("outbox: the engine does not answer, it is asked until it does", "err", err)
		case err == nil && silent:
			silent = false
			k.options.Logger.Info("outbox: the engine answers again")
		}
		if !silent && time.Since(swept) > houseTime {
			swept = time.Now()
			if err := k.sweepWithin(ctx, swept); err != nil && ctx.Err() == nil {
				k.options.Logger.Warn("outbox: sweeping", "err", err)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}

func (o *Outbox) sweepWithin(ctx context.Context, now time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, sweepTime)
	defer cancel()
	return o.sweep(ctx, now)
}

// sweep removes the records that were kept long enough by then, and objects without a message.
// A record goes only after its message: without its record a message would be sent again.
func (o *Outbox) sweep(ctx context.Context, now time.Time) error {
	_, err := o.sweepObjects(ctx, orphanAge)
	return errors.Join(err, o.scan(ctx, func(f found) error {
		old := f.isState && (&state{Status: f.status}).over() && now.Sub(f.changed) >= o.options.Keep
		if !old {
			return nil
		}
		switch m, err := o.message(ctx, f.id); {
		case err == nil && m.seq < f.seq:
			return o.remove(ctx, m.seq) // its record goes the next time
		case errors.Is(err, ErrNotFound):
			return o.remove(ctx, f.seq)
		default:
			return err
		}
	}))
}

// Pause keeps the messages of a route from being sent, in every process, within the Lease of
// its workers. What is begun comes to its end. It is stored: Resume ends it.
func (o *Outbox) Pause(ctx context.Context, route string) error {
	return failed("pause", o.setPaused(ctx, route, "paused"))
}

// Resume ends what Pause did. Messages that were looked at meanwhile are due within a Lease.
func (o *Outbox) Resume(ctx context.Context, route string) error {
	return failed("resume", o.setPaused(ctx, route, ""))
}

func (o *Outbox) pausedSubject(route string) string {
	sum := sha256.Sum256([]byte(route))
	return o.name + "." + hex.EncodeToString(sum[:16]) + ".p"
}

const headPaused = "Outbox-Paused"

func (o *Outbox) setPaused(ctx context.Context, route, paused string) error {
	if err := o.begin(); err != nil {
		return err
	}
	if paused == "" {
		return o.roomHint(o.stream.Purge(ctx, jetstream.WithPurgeSubject(o.pausedSubject(route))))
	}
	m := &nats.Msg{Subject: o.pausedSubject(route), Data: []byte(route), Header: nats.Header{headPaused: {paused}}}
	_, err := within(ctx, o.store, func(ctx context.Context) (*jetstream.PubAck, error) { return o.js.PublishMsg(ctx, m) })
	if err == nil {
		err = o.durable()
	}
	return o.roomHint(err)
}

func (o *Outbox) readPaused(ctx context.Context) error {
	if err := o.pass("paused"); err != nil {
		return err
	}
	info, err := o.stream.Info(ctx, jetstream.WithSubjectFilter(o.name+".*.p"))
	if err != nil {
		return err
	}
	paused := map[string]bool{}
	for subject := range info.State.Subjects {
		raw, err := o.stream.GetLastMsgForSubject(ctx, subject)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		paused[string(raw.Data)] = true
	}
	o.paused.Store(&paused)
	return nil
}
