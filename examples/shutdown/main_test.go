package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/fe022423/submission"
	"github.com/fe022423/submission/smtptest"
)

// With this variable set the test binary is the program.
const asProgram = "SHUTDOWN_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

const sender = "&from=shop@example.org"

// write writes a list of n recipients.
func write(t *testing.T, n int) string {
	t.Helper()
	var list strings.Builder
	for i := range n {
		fmt.Fprintf(&list, "c%02d@example.net\n", i)
	}
	file := filepath.Join(t.TempDir(), "list.txt")
	if err := os.WriteFile(file, []byte(list.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// count counts what was said of the jobs, and reports those of which nothing was said, or
// more than one thing.
func count(t *testing.T, output string, jobs int) map[string]int {
	t.Helper()
	said := map[string]int{}
	verdicts := map[string]int{}
	for line := range strings.Lines(output) {
		to, verdict, ok := strings.Cut(strings.TrimSpace(line), "@example.net: ")
		if !ok {
			continue
		}
		said[to]++
		verdict, _, _ = strings.Cut(verdict, ":")
		verdicts[verdict]++
	}
	for i := range jobs {
		if n := said[fmt.Sprintf("c%02d", i)]; n != 1 {
			t.Errorf("job %d: %d verdicts; output:\n%s", i, n, output)
		}
	}
	return verdicts
}

// slowServer is a server that answers no command with this verb before release is called,
// and tells of each on reached.
func slowServer(t *testing.T, verb string) (srv *smtptest.Server, reached chan string, release func()) {
	reached = make(chan string, 100)
	released := make(chan struct{})
	srv = smtptest.New(t, &smtptest.Config{Hook: func(c smtptest.Command) *smtptest.Answer {
		if c.Verb == verb {
			reached <- c.Line
			<-released
		}
		return nil
	}})
	release = sync.OnceFunc(func() { close(released) })
	t.Cleanup(release) // before the server is closed, which waits for its hook
	return srv, reached, release
}

// Without a signal all jobs are done, however long that takes.
func TestAllDone(t *testing.T) {
	srv := smtptest.New(t, nil)
	var out strings.Builder
	if err := run(t.Context(), []string{"-grace", "1ns", write(t, 30)}, srv.URL()+sender, &out); err != nil {
		t.Error(err)
	}
	if got := count(t, out.String(), 30); got["sent"] != 30 || len(srv.Messages()) != 30 {
		t.Errorf("%v, %d messages", got, len(srv.Messages()))
	}
}

// On a signal what is on its way comes to its end, and nothing else begins.
func TestSIGTERM(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no SIGTERM")
	}
	for _, signal := range []os.Signal{syscall.SIGTERM, os.Interrupt} {
		srv, reached, release := slowServer(t, "MESSAGE")
		binary, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), binary, "-grace", "1h", write(t, 30))
		cmd.Env = append(os.Environ(), asProgram+"=1", "SUBMISSION_URL="+srv.URL()+sender)
		stdout, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); errors.Is(err, errors.ErrUnsupported) {
			t.Skip(err)
		} else if err != nil {
			t.Fatal(err)
		}
		for range 4 {
			<-reached
		}
		if err := cmd.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
		var output strings.Builder
		for lines := bufio.NewScanner(stdout); lines.Scan(); {
			if strings.HasPrefix(lines.Text(), "stopping: ") {
				release()
			}
			fmt.Fprintln(&output, lines.Text())
		}
		if cmd.Wait(); cmd.ProcessState.ExitCode() != 1 {
			t.Errorf("%v: %v", signal, cmd.ProcessState)
		}
		if got := count(t, output.String(), 30); got["sent"] != 4 || got["not begun"] != 26 || len(srv.Messages()) != 4 {
			t.Errorf("%v: %v, %d messages", signal, got, len(srv.Messages()))
		}
	}
}

// What is not over by the deadline is cut off, and said to be what it is.
func TestDeadline(t *testing.T) {
	for verb, want := range map[string]string{
		"CONNECT": "to be done again", "MAIL": "to be done again", "RCPT": "to be done again",
		"MESSAGE": "may have arrived",
	} {
		srv, reached, _ := slowServer(t, verb)
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			for range 4 {
				<-reached
			}
			cancel()
		}()
		var out strings.Builder
		err := run(ctx, []string{"-grace", "1ms", write(t, 10)}, srv.URL()+sender, &out)
		if err == nil || err.Error() != "0 of 10 jobs are done" {
			t.Errorf("%s: error %v", verb, err)
		}
		if got := count(t, out.String(), 10); got[want] != 4 || got["not begun"] != 6 {
			t.Errorf("%s: %v; output:\n%s", verb, got, &out)
		}
	}
}

// A job that was taken when the client closes already is not done.
func TestTakenTooLate(t *testing.T) {
	client, err := submission.New("mail.example.org", &submission.Options{From: "shop@example.org"})
	if err != nil {
		t.Fatal(err)
	}
	client.Close()
	if got := new(workers).send(client, "you@example.net"); !strings.HasPrefix(got, "to be done again: ") {
		t.Errorf("verdict %q", got)
	}
}

// A job that fails is no reason to stop.
func TestFailures(t *testing.T) {
	srv := smtptest.New(t, &smtptest.Config{Hook: smtptest.First(
		smtptest.On("RCPT", "c01@example.net", "550 5.1.1 who"),
		smtptest.On("RCPT", "c02@example.net", "451 4.3.0 later"),
	)})
	var out strings.Builder
	err := run(t.Context(), []string{write(t, 9)}, srv.URL()+sender, &out)
	if err == nil || err.Error() != "7 of 9 jobs are done" {
		t.Errorf("error %v", err)
	}
	if got := count(t, out.String(), 9); got["sent"] != 7 || got["failed"] != 1 || got["to be done again"] != 1 {
		t.Errorf("%v; output:\n%s", got, &out)
	}
}

// The demonstration ends like that, too.
func TestDemonstration(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	w := &watcher{text: ": sent", then: cancel}
	err := run(ctx, nil, "", w)
	if err == nil || !strings.Contains(w.all.String(), "stopping: what is on its way has 10s") ||
		!strings.Contains(w.all.String(), "customer-200@example.net: not begun") || !strings.Contains(err.Error(), " of 200 jobs are done") {
		t.Errorf("error %v, output:\n%s", err, &w.all)
	}
	var sent int
	fmt.Sscan(err.Error(), &sent)
	if want := fmt.Sprintf("The server has %d messages.", sent); !strings.Contains(w.all.String(), want) {
		t.Errorf("no %q in\n%s", want, &w.all)
	}
}

// watcher calls then when a text is written.
type watcher struct {
	mu   sync.Mutex
	all  strings.Builder
	text string
	then func()
}

func (w *watcher) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if strings.Contains(string(p), w.text) {
		w.then()
	}
	return w.all.Write(p)
}

func TestUsage(t *testing.T) {
	for _, tt := range []struct {
		url  string
		args []string
		text string
	}{
		{"smtp://mail.example.org", nil, "usage"},
		{"smtp://mail.example.org", []string{"a", "b"}, "usage"},
		{"smtp://mail.example.org", []string{"none.txt"}, "none.txt"},
		{"mail.example.org", []string{write(t, 1)}, "scheme"},
		{"smtp://mail.example.org", []string{"-grace", "soon", "a"}, "grace"},
	} {
		err := run(t.Context(), tt.args, tt.url, new(strings.Builder))
		if err == nil || !strings.Contains(err.Error(), tt.text) {
			t.Errorf("%q: error %v, want %q", tt.args, err, tt.text)
		}
	}
}
