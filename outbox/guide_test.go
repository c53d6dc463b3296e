package outbox_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
)

// The configuration of a cluster in the guide is one, and syncs each write.
func TestGuideConfiguration(t *testing.T) {
	page, err := os.ReadFile("../docs/outbox.md")
	if err != nil {
		t.Fatal(err)
	}
	_, conf, _ := strings.Cut(string(page), "\n```conf\n")
	conf, _, found := strings.Cut(conf, "\n```\n")
	if !found {
		t.Fatal("the guide has no configuration")
	}
	file := filepath.Join(t.TempDir(), "nats.conf")
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	o, err := server.ProcessConfigFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !o.JetStream || !o.SyncAlways || o.StoreDir == "" || o.ServerName == "" || o.Cluster.Name == "" || len(o.Routes) != 3 {
		t.Errorf("JetStream %v in %q, sync always %v, server %q, cluster %q, %d routes", o.JetStream, o.StoreDir, o.SyncAlways, o.ServerName, o.Cluster.Name, len(o.Routes))
	}
}
