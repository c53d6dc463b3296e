package smtptest

import (
	"io"
	"strings"
	"testing"
)

func TestParseScriptErrors(t *testing.T) {
	for script, want := range map[string]string{
		"X: what":              "line 1: not a step",
		"S":                    "line 1: not a step",
		"\nC* none":            "line 2: the count of C* must be",
		"C* 0":                 "line 1: the count of C* must be",
		"deliver slowly":       "line 1: deliver needs",
		`S> \q`:                "line 1: escape",
		"S> ":                  "line 1: no text",
		"stall\nS: 220":        "line 2: only C lines",
		"close\nclose":         "line 2: only C lines",
		"reset\nC: A":          "line 2: only eof",
		"eof\nC: A":            "line 2: nothing may follow eof",
		"C: A\n stall now \nX": "line 2: not a step",
	} {
		if _, err := parseScript(script); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: %v, want %s", script, err, want)
		}
	}
}

// FuzzParseScript has a client that does what the script says, whatever that
// is, and expects no report.
func FuzzParseScript(f *testing.F) {
	f.Add("S: 220 hi\nC: EHLO x\ndeliver joined\nS: 250-a\nS: 250 b\nC> a\\x00b\nC* 3\nS! 421 x\nclose\neof")
	f.Add("deliver bytes\nS> \\r\\n\nstall\nC: é\n")
	f.Add("S: 1\nreset\neof")
	f.Fuzz(func(t *testing.T, script string) {
		steps, err := parseScript(script)
		if err != nil {
			return
		}
		fake := &recorder{TB: t}
		nc := Play(fake, script)
		for _, st := range steps {
			switch st.kind {
			case stepSend:
				got := make([]byte, len(st.data))
				if _, err := io.ReadFull(nc, got); err != nil || string(got) != string(st.data) {
					t.Fatalf("line %d: read %q, %v", st.line, got, err)
				}
			case stepExpect:
				_, _ = nc.Write(st.data)
			case stepAny:
				_, _ = nc.Write(make([]byte, min(st.count, 1<<20)))
				if st.count > 1<<20 {
					return
				}
			}
		}
		nc.Close()
		fake.end()
		if len(fake.reports) > 0 {
			t.Errorf("reports %q", fake.reports)
		}
	})
}
