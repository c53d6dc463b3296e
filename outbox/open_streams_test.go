package outbox_test

import (
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/fe022423/submission/outbox"
)

// refusal is a setting of an existing stream that would lose mail, under the name that the
// error has for it.
type refusal struct {
	want   string
	change func(*jetstream.StreamConfig)
}

// ofBoth are those of the queue and of its large messages.
var ofBoth = []refusal{
	{"retention workqueue", func(c *jetstream.StreamConfig) { c.Retention = jetstream.WorkQueuePolicy }},
	{"retention interest", func(c *jetstream.StreamConfig) { c.Retention = jetstream.InterestPolicy }},
	{"storage", func(c *jetstream.StreamConfig) { c.Storage = jetstream.MemoryStorage }},
	{"discard", func(c *jetstream.StreamConfig) { c.Discard = jetstream.DiscardOld }},
	{"max_age", func(c *jetstream.StreamConfig) { c.MaxAge = time.Hour }},
	{"max_msgs", func(c *jetstream.StreamConfig) { c.MaxMsgs = 10 }},
	{"max_msgs_per_subject", func(c *jetstream.StreamConfig) { c.MaxMsgsPerSubject = 2 }},
	{"max_msg_size", func(c *jetstream.StreamConfig) { c.MaxMsgSize = 1000 }},
	{"max_consumers", func(c *jetstream.StreamConfig) { c.MaxConsumers = 2 }},
	{"no_ack", func(c *jetstream.StreamConfig) { c.NoAck = true }},
	{"deny_delete", func(c *jetstream.StreamConfig) { c.DenyDelete = true }},
	{"deny_purge", func(c *jetstream.StreamConfig) { c.DenyPurge, c.AllowRollup = true, false }},
	{"persist_mode", func(c *jetstream.StreamConfig) {
		c.PersistMode, c.AllowAtomicPublish = jetstream.AsyncPersistMode, false
	}},
}

var ofTheQueue = []refusal{
	{"allow_direct", func(c *jetstream.StreamConfig) { c.AllowDirect = true }},
	{"allow_atomic", func(c *jetstream.StreamConfig) { c.AllowAtomicPublish = false }},
	{"the subjects", func(c *jetstream.StreamConfig) { c.Subjects = []string{"outbox.>"} }},
	{"discard_new_per_subject", func(c *jetstream.StreamConfig) { c.DiscardNewPerSubject = true }},
	{"a transform or republish", func(c *jetstream.StreamConfig) {
		c.RePublish = &jetstream.RePublish{Source: "outbox.>", Destination: "copy.>"}
	}},
	{"a transform or republish", func(c *jetstream.StreamConfig) {
		c.SubjectTransform = &jetstream.SubjectTransformConfig{Source: "outbox.*.s", Destination: "outbox.{{wildcard(1)}}.p"}
	}},
}

// Open refuses each setting of an existing stream that would lose mail, and says which.
func TestOpenRefusesWhatWouldLoseMail(t *testing.T) {
	url, js := natsServer(t)
	ctx := deadline(t)
	open := func() error {
		ob, err := outbox.Open(ctx, &outbox.Options{URL: url})
		if err == nil {
			ob.Close()
		}
		return err
	}
	for range 2 { // it takes what it made itself
		if err := open(); err != nil {
			t.Fatal(err)
		}
	}
	for stream, refusals := range map[string][]refusal{
		"outbox":           append(ofTheQueue, ofBoth...),
		"OBJ_outbox_large": ofBoth,
	} {
		s, err := js.Stream(ctx, stream)
		if err != nil {
			t.Fatal(err)
		}
		good := s.CachedInfo().Config
		for _, r := range refusals {
			bad := good
			r.change(&bad)
			js.DeleteStream(ctx, stream)
			if _, err := js.CreateStream(ctx, bad); err != nil {
				t.Errorf("%s: %s: %v", stream, r.want, err)
				continue
			}
			if err := open(); err == nil || !strings.Contains(strings.ToLower(err.Error()), r.want) || !strings.Contains(err.Error(), stream) {
				t.Errorf("%s: %s: %v", stream, r.want, err)
			}
		}
		js.DeleteStream(ctx, stream)
		if _, err := js.CreateStream(ctx, good); err != nil {
			t.Fatal(err)
		}
		if err := open(); err != nil {
			t.Error(err)
		}
	}
	ob, err := outbox.Open(ctx, &outbox.Options{URL: url, Replicas: 3})
	if err == nil || !strings.Contains(err.Error(), "replicas") {
		t.Errorf("fewer replicas than wanted: %v, %v", ob, err)
	}
}
