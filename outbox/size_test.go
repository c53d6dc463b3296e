package outbox

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

var sizes = flag.Bool("sizes", false, "build the programs of testdata/size and print how large they are, for docs/outbox.md")

// Who only sends mail pays nothing for the queue: the root module does not require it, nor the
// engine.
func TestRootModuleDoesWithoutTheEngine(t *testing.T) {
	out, err := exec.Command("go", "-C", "..", "list", "-m", "all").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, "nats") || strings.Contains(line, "/outbox") {
			t.Errorf("the root module requires %s", line)
		}
	}
}

// What the queue costs in the size of a program: go test -run Sizes -sizes -v .
func TestSizes(t *testing.T) {
	for _, program := range []string{"client", "url", "embedded"} {
		if !*sizes { // that they compile is enough
			if out, err := exec.Command("go", "vet", "./testdata/size/"+program).CombinedOutput(); err != nil {
				t.Errorf("%v: %s", err, out)
			}
			continue
		}
		plain := size(t, program)
		t.Logf("| %s | %.1f MB | %.1f MB |", program, plain, size(t, program, "-trimpath", "-ldflags=-s -w"))
	}
}

// size builds a program and returns its size in MB.
func size(t *testing.T, program string, flags ...string) float64 {
	t.Helper()
	file := filepath.Join(t.TempDir(), program)
	args := append(append([]string{"build", "-o", file}, flags...), "./testdata/size/"+program)
	if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	return float64(info.Size()) / 1e6
}
