package submission_test

import (
	"fmt"
	"io"
	"net/mail"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/fe022423/submission"
)

var (
	modelLine   = regexp.MustCompile(`(?s)[^\r\n]*(\r\n|\r|\n|$)`)
	modelEnding = regexp.MustCompile(`\r\n|\r|\n`)
	modelBcc    = regexp.MustCompile(`^([Rr][Ee][Ss][Ee][Nn][Tt]-)?[Bb][Cc][Cc][ \t\r\n]*:`)
)

// withoutBcc is another way to leave Bcc out of a message, kept as simple as it can be.
func withoutBcc(in string) string {
	var fields []string
	for in != "" {
		line := modelLine.FindString(in)
		if strings.Trim(line, "\r\n") == "" {
			break
		}
		if n := len(fields); n > 0 && strings.ContainsAny(line[:1], " \t") {
			fields[n-1] += line
		} else {
			fields = append(fields, line)
		}
		in = in[len(line):]
	}
	return strings.Join(slices.DeleteFunc(fields, modelBcc.MatchString), "") + in
}

// FuzzReadEnvelope: what the reader gives is the message without whole Bcc fields, whatever
// the message is; a header section that net/mail takes is taken, and no other; and it makes
// no difference how the message is read.
func FuzzReadEnvelope(f *testing.F) {
	for _, m := range readable {
		for _, ending := range []string{"\n", "\r\n", "\r"} {
			f.Add(strings.ReplaceAll(m.in, "\n", ending))
		}
	}
	for _, in := range []string{"", "\n", "hi", " x: y\n", "Bcc: c@x.example\n\n", "\r" + "Bcc:\n\n", "X:\rBcc:\n\nhi", "To: (\n)\n", "X\n :y\nBcc\n\t\n : z"} {
		f.Add(in)
	}
	f.Fuzz(func(t *testing.T, in string) {
		if len(in) > 1<<16 {
			return
		}
		checkReadEnvelope(t, in)
		if in != "" && !strings.ContainsAny(in[:1], " \t") { // it would continue the field before it
			checkReadEnvelope(t, "From: a@x.example\nTo: b@x.example\n"+in)
			checkReadEnvelope(t, "Resent-From: a@x.example\rResent-Bcc : b@x.example\r"+in)
		}
	})
}

func checkReadEnvelope(t *testing.T, in string) {
	env, rest, err := submission.ReadEnvelope(strings.NewReader(in))
	if err != nil {
		checkErrorText(t, err)
	}
	_, wantErr := mail.ReadMessage(strings.NewReader(modelEnding.ReplaceAllString(in, "\r\n")))
	taken, mbox := err == nil || kindOfReadError(err) != "header", strings.HasPrefix(in, "From ")
	if wants := wantErr == nil || wantErr == io.EOF; taken != wants && !mbox { // io.EOF: no field that has a name
		t.Fatalf("%q: net/mail says %v, we say %v", in, wantErr, err)
	}
	slow, slowRest, slowErr := submission.ReadEnvelope(iotest.OneByteReader(strings.NewReader(in)))
	if fmt.Sprint(env, err, rest == nil) != fmt.Sprint(slow, slowErr, slowRest == nil) {
		t.Fatalf("%q: %v, %v at once, %v, %v byte by byte", in, env, err, slow, slowErr)
	}
	if rest == nil {
		return
	}
	text, err := io.ReadAll(rest)
	slowText, slowErr := io.ReadAll(slowRest)
	if err != nil || slowErr != nil || string(text) != string(slowText) {
		t.Fatalf("%q: %q, %v at once, %q, %v byte by byte", in, text, err, slowText, slowErr)
	}
	want := withoutBcc(in)
	if n := len(want); n != len(text) || want != string(text) {
		// Where only a CR and an LF would be left side by side, they are still two.
		a, b := modelEnding.ReplaceAllString(want, "\n"), modelEnding.ReplaceAllString(string(text), "\n")
		if n != len(text) || len(a)+1 != len(b) || !strings.Contains(want, "\r\n") {
			t.Fatalf("%q became %q, want %q", in, text, want)
		}
	}
	if again := withoutBcc(string(text)); again != string(text) {
		t.Fatalf("%q became %q, which still has Bcc", in, text)
	}
	s := rest.(io.ReadSeeker)
	if at, err := s.Seek(0, io.SeekStart); at != 0 || err != nil {
		t.Fatal(at, err)
	}
	if again, err := io.ReadAll(s); err != nil || string(again) != string(text) {
		t.Fatalf("%q: %q the first time, then %q, %v", in, text, again, err)
	}
	checkReadAddresses(t, in, env)
}

// checkReadAddresses checks that the addresses are ones, each once.
func checkReadAddresses(t *testing.T, in string, env submission.Envelope) {
	seen := map[string]bool{}
	for i, r := range env.To {
		if seen[r.Addr] {
			t.Fatalf("%q: %q is there twice", in, r.Addr)
		}
		seen[r.Addr] = true
		if a, err := mail.ParseAddress("<" + r.Addr + ">"); err != nil || submission.ToAddresses(a)[0].Addr != r.Addr {
			t.Fatalf("%q: recipient %d is %q, %v", in, i, r.Addr, err)
		}
	}
}
