package outbox_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/fe022423/submission/outbox"
)

// natsServer is a server of the test's own, as a cluster would be: reached by URL.
func natsServer(t *testing.T) (url string, js jetstream.JetStream) {
	t.Helper()
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: t.TempDir(), NoSigs: true})
	if err != nil {
		t.Fatal(err)
	}
	go s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(time.Minute) {
		t.Fatal("the server does not start")
	}
	nc, err := nats.Connect(s.ClientURL())
	if err == nil {
		js, err = jetstream.New(nc)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return s.ClientURL(), js
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
	if err := open(); err != nil {
		t.Fatal(err)
	}
	if err := open(); err != nil { // it takes what it made itself
		t.Fatal(err)
	}
	s, err := js.Stream(ctx, "outbox")
	if err != nil {
		t.Fatal(err)
	}
	good := s.CachedInfo().Config
	for want, change := range map[string]func(*jetstream.StreamConfig){
		"retention":            func(c *jetstream.StreamConfig) { c.Retention = jetstream.WorkQueuePolicy },
		"storage":              func(c *jetstream.StreamConfig) { c.Storage = jetstream.MemoryStorage },
		"discard":              func(c *jetstream.StreamConfig) { c.Discard = jetstream.DiscardOld },
		"max_age":              func(c *jetstream.StreamConfig) { c.MaxAge = time.Hour },
		"max_msgs":             func(c *jetstream.StreamConfig) { c.MaxMsgs = 10 },
		"max_msgs_per_subject": func(c *jetstream.StreamConfig) { c.MaxMsgsPerSubject = 2 },
		"no_ack":               func(c *jetstream.StreamConfig) { c.NoAck = true },
		"deny_delete":          func(c *jetstream.StreamConfig) { c.DenyDelete = true },
		"allow_direct":         func(c *jetstream.StreamConfig) { c.AllowDirect = true },
		"allow_atomic":         func(c *jetstream.StreamConfig) { c.AllowAtomicPublish = false },
		"the subjects":         func(c *jetstream.StreamConfig) { c.Subjects = []string{"outbox.>"} },
		"persist_mode": func(c *jetstream.StreamConfig) {
			c.PersistMode, c.AllowAtomicPublish = jetstream.AsyncPersistMode, false
		},
		"discard_new_per_subject": func(c *jetstream.StreamConfig) { c.DiscardNewPerSubject = true },
	} {
		bad := good
		change(&bad)
		js.DeleteStream(ctx, "outbox")
		if _, err := js.CreateStream(ctx, bad); err != nil {
			t.Fatalf("%s: %v", want, err)
		}
		if err := open(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

func TestOpenRefusesItsOptions(t *testing.T) {
	for want, o := range map[string]*outbox.Options{
		"exactly one":      nil,
		"exactly one of":   {URL: "nats://localhost", Dir: "x"},
		"Options.Name":     {Dir: "x", Name: "a.b"},
		"Options.Replicas": {Dir: "x", Replicas: 3},
		"MaxBytes is":      {Dir: "x", MaxBytes: -1},
		"reserved at once": {Dir: t.TempDir(), MaxBytes: 1 << 60},
		"directory":        {Dir: "/dev/null"},
		"no servers":       {URL: "nats://127.0.0.1:1"},
	} {
		if ob, err := outbox.Open(deadline(t), o); err == nil || !strings.Contains(err.Error(), want) && want != "directory" {
			t.Errorf("%s: %v, %v", want, ob, err)
		}
	}
}

func TestDirectoryIsForItsOwnerOnly(t *testing.T) {
	dir := t.TempDir() + "/queue"
	open(t, func(o *outbox.Options) { o.Dir = dir })
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

func TestKeep(t *testing.T) {
	for options, want := range map[time.Duration]time.Duration{0: 24 * time.Hour, time.Hour: time.Hour} {
		if keep := open(t, func(o *outbox.Options) { o.Keep = options }).Keep(); keep != want {
			t.Errorf("Options.Keep %v is %v", options, keep)
		}
	}
}
