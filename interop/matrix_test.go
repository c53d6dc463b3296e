//go:build linux

package interop

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

// matrixFile is made of the declarations of the servers.
const matrixFile = "../docs/servers.md"

var update = flag.Bool("update", false, "write "+matrixFile)

// TestMatrix checks that the file says what is declared. Whether that is so is what
// TestConformance checks.
func TestMatrix(t *testing.T) {
	want := matrix()
	if *update {
		if err := os.WriteFile(matrixFile, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(matrixFile)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is out of date: go test -run TestMatrix -update", matrixFile)
	}
}

func matrix() []byte {
	var b bytes.Buffer
	b.WriteString(`# Servers

<!-- Made by "go test -run TestMatrix -update" in interop, from the declarations there. -->

These servers are started on this machine, with configurations of the tests' own, by
every run of the checks. The same cases run against each; a dash stands where a server
does not offer what a case is about, and the list below the table says why.

`)
	b.WriteString("| case |")
	for _, p := range peers {
		fmt.Fprintf(&b, " %s |", p.name)
	}
	b.WriteString("\n|---|" + strings.Repeat("---|", len(peers)) + "\n")
	for _, trial := range trials {
		fmt.Fprintf(&b, "| %s |", trial.name)
		for _, p := range peers {
			cell := "–"
			if o := trial.offered(&p.offers); o.given {
				cell = "yes"
				if o.partly {
					cell = "partly"
				}
			}
			fmt.Fprintf(&b, " %s |", cell)
		}
		b.WriteString("\n")
	}
	b.WriteString("\nWhat the cases are:\n\n")
	for _, trial := range trials {
		fmt.Fprintf(&b, "- **%s**: %s\n", trial.name, trial.doc)
	}
	for _, p := range peers {
		p.describe(&b)
	}
	return b.Bytes()
}

// describe writes what the table has no room for.
func (p *peer) describe(b *bytes.Buffer) {
	fmt.Fprintf(b, "\n## %s\n\n%s. Messages of up to %d bytes", p.name, p.program, p.offers.sizeLimit)
	if p.offers.sizeHidden {
		b.WriteString(", which SIZE does not say")
	}
	b.WriteString(".\n\n")
	for _, trial := range trials {
		o := trial.offered(&p.offers)
		switch {
		case !o.given:
			fmt.Fprintf(b, "- %s: not offered, %s\n", trial.name, o.note)
		case o.note != "":
			fmt.Fprintf(b, "- %s: %s\n", trial.name, o.note)
		}
	}
}
