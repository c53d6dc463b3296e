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

// Without the import of package embedded the error says what to write.
func TestEmbeddedIsNotImported(t *testing.T) {
	defer outbox.WithoutEmbedded()()
	dir := t.TempDir() + "/queue"
	_, err := outbox.Open(deadline(t), &outbox.Options{Dir: dir})
	if err == nil || !strings.Contains(err.Error(), `import _ "github.com/fe022423/submission/outbox/embedded"`) || !strings.HasPrefix(err.Error(), "outbox: open: ") {
		t.Error(err)
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("it made the directory")
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
