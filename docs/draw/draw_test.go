// Package draw makes the pictures of the documentation from sessions that it records.
package draw

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

var update = flag.Bool("update", false, "write the pictures")

// folder is where the pictures are.
const folder = ".."

// TestFlights draws a message of this library beside one of net/smtp.
func TestFlights(t *testing.T) {
	ours, theirs := record(t, meetLibrary(t)), record(t, meetStandard)
	if a, b := fmt.Sprint(ours.opening), fmt.Sprint(theirs.opening); a != b {
		t.Errorf("the picture says that sessions are opened alike:\n%s\n%s", a, b)
	}
	compare(t, "flights.svg", drawFlights([2]side{
		{"this library", "PIPELINING, CHUNKING", ours},
		{"net/smtp", "a command at a time", theirs},
	}))
}

// TestOutcomes draws what faults make of a message, and checks that it is what is
// promised.
func TestOutcomes(t *testing.T) {
	rows := matrix(t)
	checkPromised(t, rows)
	compare(t, "outcomes.svg", drawOutcomes(rows))
}

// compare checks that the committed picture is what is drawn now. A recording that
// failed updates no picture.
func compare(t *testing.T, name string, want []byte) {
	t.Helper()
	file := filepath.Join(folder, name)
	if *update && !t.Failed() {
		if err := os.WriteFile(file, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("docs/%s is out of date: go test ./docs/draw -update", name)
	}
}
