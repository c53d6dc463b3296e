package outbox

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const largeSuffix = "_large"

// streamConfig is the one in which no mail is lost: nothing expires, nothing gives way to
// what is new, and each subject has one message.
func (o *Outbox) streamConfig() jetstream.StreamConfig {
	c := jetstream.StreamConfig{
		Name:               o.name,
		Subjects:           []string{o.name + ".*.m.*", o.name + ".*.s", o.name + ".*.p"},
		Retention:          jetstream.LimitsPolicy,
		Storage:            jetstream.FileStorage,
		Discard:            jetstream.DiscardNew,
		MaxMsgsPerSubject:  1,
		MaxBytes:           -1,
		Replicas:           o.options.Replicas,
		AllowAtomicPublish: true,
	}
	if o.options.MaxBytes > 0 {
		c.MaxBytes = o.options.MaxBytes
	}
	return c
}

// prepareAtLast prepares the streams, again as long as the servers are silent: those of a
// cluster that begins answer late, and not what they were asked before.
func (o *Outbox) prepareAtLast(ctx context.Context) error {
	for o.remote {
		try, cancel := context.WithTimeout(ctx, openTry)
		err := o.prepare(try)
		cancel()
		if err == nil || !isSilent(err) || errors.Is(err, nats.ErrNoResponders) {
			return err
		}
		select {
		case <-time.After(publishPause):
		case <-ctx.Done():
			return err
		}
	}
	return o.prepare(ctx)
}

// prepare makes the streams, or checks those that are there.
func (o *Outbox) prepare(ctx context.Context) (err error) {
	want := o.streamConfig()
	stream, err := o.js.CreateStream(ctx, want)
	if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
		if stream, err = o.js.Stream(ctx, o.name); err == nil {
			err = checkStream(stream.CachedInfo().Config, want)
		}
		if err == nil {
			err = o.resize(ctx, stream)
		}
	}
	if err != nil {
		return o.explain(err)
	}
	o.stream = bounded{stream, o.store}
	bucket := o.name + largeSuffix
	o.large, err = o.js.CreateObjectStore(ctx, jetstream.ObjectStoreConfig{
		Bucket: bucket, Storage: jetstream.FileStorage, Replicas: want.Replicas, MaxBytes: want.MaxBytes,
	})
	if errors.Is(err, jetstream.ErrBucketExists) {
		o.large, err = o.js.ObjectStore(ctx, bucket)
	}
	if err != nil {
		return o.explain(err)
	}
	s, err := o.js.Stream(ctx, "OBJ_"+bucket)
	if err != nil {
		return o.explained(err)
	}
	return checkLarge(s.CachedInfo().Config, want)
}

// resize gives an existing stream the MaxBytes of the options, if they have one.
func (o *Outbox) resize(ctx context.Context, stream jetstream.Stream) error {
	c := stream.CachedInfo().Config
	if n := o.options.MaxBytes; n == 0 || n == c.MaxBytes {
		return nil
	} else if used := stream.CachedInfo().State.Bytes; uint64(n) < used {
		return fmt.Errorf("Options.MaxBytes is %d, and the queue has %d bytes already", n, used)
	}
	c.MaxBytes = o.options.MaxBytes
	_, err := o.js.UpdateStream(ctx, c)
	return err
}

// explain says what the engine's refusal to make a stream is about.
func (o *Outbox) explain(err error) error {
	if isCode(err, 10047, 10023, 10002) && o.options.MaxBytes > 0 {
		return fmt.Errorf("%w: Options.MaxBytes, %d, is reserved at once, for the queue and for its large messages each: there is less room", err, o.options.MaxBytes)
	}
	if isCode(err, 10039, 10076) || errors.Is(err, jetstream.ErrJetStreamNotEnabled) || errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount) {
		return fmt.Errorf("%w: NATS server %s has no JetStream for this account: see jetstream in its configuration", err, o.nc.ConnectedUrlRedacted())
	}
	if errors.Is(err, nats.ErrNoResponders) {
		return fmt.Errorf("%w: NATS server %s is connected, and no server with JetStream: perhaps its configuration has no jetstream block", err, o.nc.ConnectedUrlRedacted())
	}
	if isCode(err, 10005, 10074) {
		return fmt.Errorf("%w: Options.Replicas is %d, and fewer servers with JetStream are up to make a new queue", err, o.options.Replicas)
	}
	return o.explained(err)
}

// checkStream says in what an existing stream differs from the one that keeps every message.
func checkStream(have, want jetstream.StreamConfig) error {
	if err := checkLimits(have, want); err != nil {
		return err
	}
	wrong := func(field string, have any, why string) error {
		return fmt.Errorf("stream %s has %s %v: %s", want.Name, field, have, why)
	}
	slices.Sort(have.Subjects)
	slices.Sort(want.Subjects)
	switch {
	case !slices.Equal(have.Subjects, want.Subjects):
		return wrong("the subjects", strings.Join(have.Subjects, " "), "it is not the stream of an outbox, or of another version")
	case have.MaxMsgsPerSubject != 1:
		return wrong("max_msgs_per_subject", have.MaxMsgsPerSubject, "1 is needed")
	case have.DiscardNewPerSubject:
		return wrong("discard_new_per_subject", true, "records could not be replaced")
	case have.AllowDirect || have.MirrorDirect:
		return wrong("allow_direct", true, "a replica could answer with an old record")
	case have.SubjectTransform != nil || have.RePublish != nil:
		return wrong("a transform or republish", "set", "remove it")
	case !have.AllowAtomicPublish:
		return wrong("allow_atomic", false, "EnqueueAll needs it")
	}
	return nil
}

// checkLarge says what may lose large messages. Their parts have one subject for all.
func checkLarge(have, want jetstream.StreamConfig) error {
	if n := have.MaxMsgsPerSubject; n > 0 {
		return fmt.Errorf("stream %s has max_msgs_per_subject %d: parts of large messages would be lost", have.Name, n)
	}
	return checkLimits(have, want)
}

// checkLimits says what may lose messages of a stream.
func checkLimits(have, want jetstream.StreamConfig) error {
	wrong := func(field string, value any, why string) error {
		return fmt.Errorf("stream %s has %s %v: %s", have.Name, field, value, why)
	}
	switch {
	case have.Retention != jetstream.LimitsPolicy:
		return wrong("retention", have.Retention, "limits is needed")
	case have.Storage != jetstream.FileStorage:
		return wrong("storage", have.Storage, "a restart would lose mail")
	case have.Discard != jetstream.DiscardNew:
		return wrong("discard", have.Discard, "mail would be lost when it is full")
	case have.MaxAge != 0:
		return wrong("max_age", have.MaxAge, "mail would expire")
	case have.MaxMsgs > 0:
		return wrong("max_msgs", have.MaxMsgs, "records of what is queued could not be written")
	case have.MaxMsgSize > 0:
		return wrong("max_msg_size", have.MaxMsgSize, "records and parts of messages could not be written")
	case have.MaxConsumers > 0:
		return wrong("max_consumers", have.MaxConsumers, "the queue could not be read")
	case have.PersistMode != jetstream.DefaultPersistMode:
		return wrong("persist_mode", have.PersistMode, "it undoes sync always")
	case have.NoAck:
		return wrong("no_ack", true, "nothing would say that a message was stored")
	case have.Sealed || have.DenyDelete || have.DenyPurge:
		return wrong("sealed, deny_delete or deny_purge", true, "what was sent could not be removed")
	case have.Mirror != nil || len(have.Sources) > 0:
		return wrong("a mirror or sources", "set", "it is to have one owner")
	case have.Replicas < want.Replicas:
		return wrong("replicas", have.Replicas, fmt.Sprintf("Options.Replicas is %d", want.Replicas))
	}
	return nil
}
