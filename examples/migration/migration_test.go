package migration

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fe022423/submission/smtptest"
)

// migrations are the libraries to come from: the names of the folders in before and after.
// Allowed is in what the two mails may differ, because the library, or the program, makes
// it anew for each message; everything else is the same octet by octet.
var migrations = []struct {
	name    string
	allowed []difference
}{
	{"net-smtp", []difference{date}},
	{"gomail", []difference{boundaries, date, order}},
	{"go-mail", []difference{boundaries, date, messageID}},
	{"go-smtp", []difference{date}},
	{"email", []difference{boundaries, date, messageID, order}},
	{"javamail", []difference{boundaries, date, messageID, order, folding}},
}

// programs is the folder of the Go programs that were built.
var programs string

func TestMain(m *testing.M) {
	os.Exit(buildAndRun(m))
}

func buildAndRun(m *testing.M) int {
	var err error
	if programs, err = os.MkdirTemp("", "migration"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(programs)
	for _, when := range []string{"before", "after"} {
		to := filepath.Join(programs, when) + string(filepath.Separator)
		if out, err := exec.Command("go", "build", "-o", to, "./"+when+"/...").CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "go build ./%s/...: %v\n%s", when, err, out)
			return 1
		}
	}
	return m.Run()
}

// The two programs of each library send the same mail to the same recipients, over TLS that
// trusts one CA, as the same user. The one for Bcc is a recipient and nowhere in the mail.
func TestSameMail(t *testing.T) {
	for _, m := range migrations {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			before, after := deliver(t, "before", m.name), deliver(t, "after", m.name)
			b, a := normal(before.Data, m.allowed...), normal(after.Data, m.allowed...)
			if a != b {
				t.Errorf("the mail before:\n%s\nthe mail after:\n%s", lines(b), lines(a))
			}
			t.Logf("%d and %d lines of code, %d octets of mail", count(t, source("before", m.name)),
				count(t, source("after", m.name)), len(after.Data))
		})
	}
}

// Programs that trust another CA send nothing.
func TestOtherCA(t *testing.T) {
	for _, m := range migrations {
		for _, when := range []string{"before", "after"} {
			t.Run(m.name+"/"+when, func(t *testing.T) {
				t.Parallel()
				argv := command(t, when, m.name)
				srv, environment := serve(t)
				_, other := serve(t)
				environment[len(environment)-1] = other[len(other)-1]
				out, err := start(t, argv, environment)
				if err == nil || !strings.Contains(strings.ToLower(out), "certif") || len(srv.Messages()) != 0 {
					t.Errorf("%d messages, %v\n%s", len(srv.Messages()), err, out)
				}
			})
		}
	}
}

// deliver runs a program and returns the one mail that the server got.
func deliver(t *testing.T, when, name string) smtptest.Message {
	t.Helper()
	messages := run(t, command(t, when, name))
	if len(messages) != 1 {
		t.Fatalf("%s: %d messages", when, len(messages))
	}
	m := messages[0]
	slices.Sort(m.To)
	if want := []string{"archive@example.org", "customer@example.net", "sales@example.org"}; !slices.Equal(m.To, want) {
		t.Errorf("%s: sent to %q", when, m.To)
	}
	if m.From != "shop@example.org" || m.Auth != user || !m.TLS {
		t.Errorf("%s: from %q as %q, over TLS: %v", when, m.From, m.Auth, m.TLS)
	}
	for _, secret := range []string{"archive@", "Bcc"} {
		if strings.Contains(string(m.Data), secret) {
			t.Errorf("%s: the mail says %s:\n%s", when, secret, m.Data)
		}
	}
	return m
}

// run runs a program against a server and returns what the server got.
func run(t *testing.T, argv []string) []smtptest.Message {
	t.Helper()
	srv, environment := serve(t)
	if out, err := start(t, argv, environment); err != nil || out != "" {
		t.Fatalf("%s: %v\n%s", argv, err, out)
	}
	return srv.Messages()
}

// start runs a program to its end and returns what it prints.
func start(t *testing.T, argv, environment []string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), environment...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// command is how to run a program.
func command(t *testing.T, when, name string) []string {
	t.Helper()
	file := source(when, name)
	if filepath.Ext(file) != ".java" {
		return []string{filepath.Join(programs, when, name)}
	}
	java, err := exec.LookPath("java")
	switch {
	case err != nil && testing.Short():
		t.Skip("there is no java")
	case err != nil:
		t.Fatal("there is no java, and -short is not given:", err)
	}
	classes := os.Getenv("MAIL_CLASSPATH")
	if classes == "" {
		classes = jakartaMail
	}
	return []string{java, "-cp", classes, file}
}

// jakartaMail are the classes of Debian's package libjakarta-mail-java and of the one that
// it needs.
const jakartaMail = "/usr/share/java/jakarta-mail.jar:/usr/share/java/jakarta-activation.jar"

// source is the file of a program.
func source(when, name string) string {
	if when == "before" && name == "javamail" {
		return filepath.Join(when, name, "Mail.java")
	}
	return filepath.Join(when, name, "main.go")
}

// count counts the lines of a program without comments, imports and empty lines.
func count(t *testing.T, file string) int {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	n, imports := 0, false
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		switch {
		case imports:
			imports = line != ")"
		case line == "import (":
			imports = true
		case line == "", strings.HasPrefix(line, "//"), strings.HasPrefix(line, "/**"), strings.HasPrefix(line, "import "):
		default:
			n++
		}
	}
	return n
}

// lines are the lines of a mail, one a line, for a report.
func lines(mail string) string { return strings.ReplaceAll(mail, "\r\n", "\n") }
