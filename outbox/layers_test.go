package outbox

import (
	"os/exec"
	"strings"
	"testing"
)

// Who connects to a cluster links only the client of the engine.
func TestServerIsLinkedOnlyByEmbedded(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", ".").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, "nats-server") || strings.Contains(line, "outbox/embedded") {
			t.Errorf("package outbox imports %s", line)
		}
	}
}
