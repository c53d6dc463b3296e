package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/fe022423/submission/smtptest"
)

const letter = "From: Shop <shop@example.org>\r\nTo: you@example.net\r\nSubject: hi\r\n\r\nhello\r\n"

// binary is the program, built once.
var binary = sync.OnceValues(func() (string, error) {
	folder, err := os.MkdirTemp("", "send")
	if err != nil {
		return "", err
	}
	file := filepath.Join(folder, "send.exe")
	out, err := exec.Command("go", "build", "-o", file, ".").CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%w: %s", err, out)
	}
	return file, err
})

func TestMain(m *testing.M) {
	status := m.Run()
	if file, err := binary(); err == nil {
		os.RemoveAll(filepath.Dir(file))
	}
	os.Exit(status)
}

// program returns the program with flags, not started.
func program(t *testing.T, flags ...string) *exec.Cmd {
	t.Helper()
	file, err := binary()
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, errors.ErrUnsupported) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, file, flags...)
	cmd.Env = append(os.Environ(), "SUBMISSION_PASSWORD=a secret", "SUBMISSION_URL=")
	return cmd
}

// outcome is how the program ended.
type outcome struct {
	status      int
	out, errors string
}

// send runs the program with message as its standard input.
func send(t *testing.T, message string, flags ...string) outcome {
	t.Helper()
	return sendByURL(t, "", message, flags...)
}

// sendByURL is send with a SUBMISSION_URL.
func sendByURL(t *testing.T, url, message string, flags ...string) outcome {
	t.Helper()
	cmd := program(t, flags...)
	cmd.Env = append(cmd.Env, "SUBMISSION_URL="+url)
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(message), &out, &errs
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return outcome{cmd.ProcessState.ExitCode(), out.String(), errs.String()}
}

// want checks a status, and a text among the errors.
func (o outcome) want(t *testing.T, status int, text string) {
	t.Helper()
	if o.status != status || !strings.Contains(o.errors, text) {
		t.Errorf("status %d, want %d, and errors with %q; output:\n%s\nerrors:\n%s", o.status, status, text, o.out, o.errors)
	}
}

// server starts a fake server without TLS, whose hook answers some commands.
func server(t *testing.T, answers map[string]smtptest.Answer) *smtptest.Server {
	t.Helper()
	srv := smtptest.NewServer(&smtptest.Config{
		TLS:      smtptest.NoTLS,
		Accounts: map[string]string{"me": "a secret"},
		Hook: func(c smtptest.Command) *smtptest.Answer {
			for _, key := range []string{c.Verb + "|" + c.Line, c.Verb} {
				if a, ok := answers[key]; ok {
					return &a
				}
			}
			return nil
		},
	})
	t.Cleanup(srv.Close)
	return srv
}

// toServer returns flags for a message to srv, and more.
func toServer(srv *smtptest.Server, more ...string) []string {
	return append([]string{"-addr", srv.Addr(), "-tls", "none", "-from", "me@example.org", "-to", "you@example.net"}, more...)
}

func TestDemonstration(t *testing.T) {
	for _, flags := range [][]string{nil, {"-quiet"}} {
		got := send(t, "", flags...)
		got.want(t, 0, "")
		if !strings.Contains(got.out, "Arrived from shop@example.org for customer@example.net, submitted by shop, over TLS: true") {
			t.Errorf("%q: output:\n%s", flags, got.out)
		}
		if shown := strings.Contains(got.out, "C: EHLO"); shown == (flags != nil) {
			t.Errorf("%q: session shown: %v", flags, shown)
		}
	}
}

// TestUsage: nothing is sent by mistake, neither the demonstration nor an empty
// message.
func TestUsage(t *testing.T) {
	srv := server(t, nil)
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	good := func(more ...string) []string { return toServer(srv, more...) }
	for _, tt := range []struct {
		name, stdin string
		flags       []string
		text        string
	}{
		{"empty -addr", letter, []string{"-addr", ""}, "no -addr"},
		{"empty -addr and more", letter, []string{"-addr", "", "-to", "you@example.net"}, "no -addr"},
		{"-to", letter, []string{"-to", "you@example.net"}, "no -addr"},
		{"-quiet -to", letter, []string{"-quiet", "-to", "you@example.net"}, "no -addr"},
		{"-quiet -from", letter, []string{"-quiet", "-from", ""}, "no -addr"},
		{"a default value", letter, []string{"-tls", "auto"}, "no -addr"},
		{"-partial", letter, []string{"-partial"}, "no -addr"},
		{"-t", letter, []string{"-t"}, "no -addr"},
		{"-timeout", letter, []string{"-timeout", "0"}, "no -addr"},
		{"-file", letter, []string{"-file", "-"}, "no -addr"},
		{"an argument", letter, []string{"mail.example.org"}, `"mail.example.org" is not a flag`},
		{"an argument after flags", letter, good("x"), `"x" is not a flag`},
		{"unknown flag", letter, []string{"-nonsense"}, "flag provided but not defined"},
		{"unknown mode", letter, good("-tls", "some"), `-tls "some"`},
		{"unknown event", letter, good("-dsn", "often"), `"often"`},
		{"empty standard input", "", good(), "the message is empty"},
		{"empty standard input, -t", "", []string{"-addr", srv.Addr(), "-t"}, "the message is empty"},
		{"empty file", letter, good("-file", empty), "the message is empty"},
		{"no file", letter, good("-file", empty+"2"), "empty2"},
		{"a folder", letter, good("-file", filepath.Dir(empty)), "directory"},
		{"no file of certificates", letter, good("-ca", empty+"2"), "empty2"},
		{"no certificates", letter, good("-ca", empty), "no certificate"},
		{"short pin", letter, good("-pin", "sha256:1234"), "64 hexadecimal digits"},
		{"odd pin", letter, good("-pin", strings.Repeat("x", 64)), "invalid"},
		{"two proxies", letter, good("-socks", "a:1", "-http-proxy", "b:1"), "exclude each other"},
		{"bad proxy", letter, good("-http-proxy", "http://me:hunter2@[b"), "-http-proxy is not"},
		{"bad SOCKS5 proxy", letter, good("-socks", "me:hunter2@[b"), "-socks is not"},
		{"proxy of another kind", letter, good("-http-proxy", "ftp://b"), "ftp"},
		{"-t and -to", letter, good("-t"), "-t takes the recipients"},
		{"-mechanisms alone", letter, good("-mechanisms", "PLAIN"), "-mechanisms needs -user"},
		{"negative time", letter, good("-timeout", "-1s"), "-timeout"},
		{"bad name", letter, good("-name", "a b"), "LocalName"},
		{"-t, no recipient", "From: a@b\n\nhello\n", []string{"-addr", srv.Addr(), "-t"}, "no address in To, Cc and Bcc"},
		{"-t, no sender", "To: a@b\n\nhello\n", []string{"-addr", srv.Addr(), "-t"}, "one address in Sender, or in From"},
		{"-t, two senders", "From: a@b, c@d\nTo: a@b\n\nhello\n", []string{"-addr", srv.Addr(), "-t"}, "one address in Sender, or in From"},
		{"-t, not an address", "From: a@b\nTo: everyone\n\nhello\n", []string{"-addr", srv.Addr(), "-t"}, "To:"},
		{"-t, no header section", "hello\n", []string{"-addr", srv.Addr(), "-t"}, "-t: "},
		{"-t, resent to nobody", "Resent-To: nobody:;\nFrom: a@b\nTo: a@b\n\nhello\n", []string{"-addr", srv.Addr(), "-t"}, "no address in Resent-To"},
		{"-t, no recipient, -from", "From: a@b\nTo: everyone\n\nhello\n", []string{"-addr", srv.Addr(), "-t", "-from", "a@b"}, "To:"},
		{"-t, endless", "From: a@b\nTo: a@b\nX: " + strings.Repeat("x", 1<<20), []string{"-addr", srv.Addr(), "-t"}, "too long"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := send(t, tt.stdin, tt.flags...)
			got.want(t, exitUsage, tt.text)
			if strings.Contains(got.out, "Arrived") || strings.Contains(got.errors, "hunter2") {
				t.Errorf("output:\n%s\nerrors:\n%s", got.out, got.errors)
			}
		})
	}
	if n := srv.Sessions(); n > 0 {
		t.Errorf("%d sessions", n)
	}
}

func TestStatus(t *testing.T) {
	gone, refused := smtptest.Answer{Close: true}, smtptest.Answer{Reply: "550 5.7.1 no"}
	for _, tt := range []struct {
		name    string
		answers map[string]smtptest.Answer
		more    []string
		status  int
		text    string
	}{
		{"sent", nil, nil, 0, ""},
		{"refused", map[string]smtptest.Answer{"MESSAGE": refused}, nil, exitNotSent, "550 5.7.1 no"},
		{"one recipient refused", map[string]smtptest.Answer{"RCPT|RCPT TO:<you@example.net>": refused}, []string{"-to", "me@example.org,you@example.net"}, exitNotSent, "550 5.7.1 no"},
		{"partly sent", map[string]smtptest.Answer{"RCPT|RCPT TO:<you@example.net>": refused}, []string{"-to", "me@example.org,you@example.net", "-partial"}, exitPartly, "550 5.7.1 no"},
		{"unknown", map[string]smtptest.Answer{"MESSAGE": gone}, nil, exitUnknown, "may or may not"},
		{"try again", map[string]smtptest.Answer{"MAIL": {Reply: "451 4.3.0 later"}}, nil, exitTemporary, "451 4.3.0 later"},
		{"hung up", map[string]smtptest.Answer{"CONNECT": gone}, nil, exitTemporary, "trying again later"},
		{"no recipient", nil, []string{"-to", ""}, exitNotSent, "recipient"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			srv := server(t, tt.answers)
			send(t, letter, toServer(srv, tt.more...)...).want(t, tt.status, tt.text)
			want := 0
			if tt.status == 0 || tt.status == exitPartly {
				want = 1
			}
			if n := len(srv.Messages()); n != want {
				t.Errorf("%d messages, want %d", n, want)
			}
		})
	}
}

// TestFile sends from a file and from a standard input that is one.
func TestFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "message")
	if err := os.WriteFile(file, []byte(letter), 0o600); err != nil {
		t.Fatal(err)
	}
	srv := server(t, nil)
	send(t, "not this", toServer(srv, "-file", file)...).want(t, 0, "")
	cmd := program(t, toServer(srv)...)
	var err error
	if cmd.Stdin, err = os.Open(file); err != nil {
		t.Fatal(err)
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	for _, m := range srv.Messages() {
		if string(m.Data) != letter {
			t.Errorf("message %q", m.Data)
		}
	}
	if n := len(srv.Messages()); n != 2 {
		t.Errorf("%d messages", n)
	}
}

// TestHeader takes the envelope from the header section.
func TestHeader(t *testing.T) {
	for _, tt := range []struct {
		name, message string
		more          []string
		from, to      string
		params, data  string // parts of the parameters of MAIL, and what arrives; "" is the message
	}{
		{"all fields", "From: A <a@b>\r\nTo: You <you@example.net>,\r\n x@y\r\nBCC: Spy\r\n\t<z@z>\r\nCc: c@d, x@y\r\nSubject: hi\r\n\r\nBcc: no field\r\n", nil,
			"a@b", "you@example.net x@y c@d z@z", "", "From: A <a@b>\r\nTo: You <you@example.net>,\r\n x@y\r\nCc: c@d, x@y\r\nSubject: hi\r\n\r\nBcc: no field\r\n"},
		{"two fields of a name", "From: a@b\r\nTo: c@d\r\nTo: e@f\r\n\r\n", nil, "a@b", "c@d e@f", "", ""},
		{"Bcc alone", "Bcc: c@d\r\nFrom: a@b\r\n\r\nhello\r\n", nil, "a@b", "c@d", "", "From: a@b\r\n\r\nhello\r\n"},
		{"empty Bcc", "From: a@b\r\nTo: c@d\r\nBcc: \r\n\r\n", nil, "a@b", "c@d", "", "From: a@b\r\nTo: c@d\r\n\r\n"},
		{"no body", "From: a@b\r\nTo: c@d\r\nBcc: e@f", nil, "a@b", "c@d e@f", "", "From: a@b\r\nTo: c@d\r\n"},
		{"bare LF", "From: a@b\nTo: c@d\n\nhello\n", nil, "a@b", "c@d", "", "From: a@b\r\nTo: c@d\r\n\r\nhello\r\n"},
		{"Sender", "From: a@b, c@d\r\nSender: e@f\r\nTo: c@d\r\n\r\n", nil, "e@f", "c@d", "", ""},
		{"-from", "From: a@b, c@d\r\nTo: c@d\r\n\r\n", []string{"-from", "<>"}, "", "c@d", "", ""},
		{"-from, and a From that is none", "From: Anna\r\nTo: c@d\r\n\r\n", []string{"-from", "x@y"}, "x@y", "c@d", "", ""},
		{"-from goes before From", "From: a@b\r\nTo: c@d\r\n\r\n", []string{"-from", "x@y"}, "x@y", "c@d", "", ""},
		{"resent", "Resent-From: r@s\r\nResent-To: x@y\r\nResent-Bcc: z@z\r\nFrom: a@b\r\nTo: c@d\r\n\r\nhello\r\n", nil, "r@s", "x@y z@z", "", "Resent-From: r@s\r\nResent-To: x@y\r\nFrom: a@b\r\nTo: c@d\r\n\r\nhello\r\n"},
		{"groups", "From: a@b\r\nTo: nobody:;, some: c@d, e@f;\r\n\r\n", nil, "a@b", "c@d e@f", "", ""},
		{"quoted", "From: a@b\r\nTo: \"c d\"@e\r\n\r\n", nil, "a@b", `"c d"@e`, "", ""},
		{"UTF-8", "From: Jürgen <a@b>\r\nTo: c@d\r\n\r\n", nil, "a@b", "c@d", "SMTPUTF8", ""},
		{"long body", "From: a@b\r\nTo: c@d\r\n\r\n" + strings.Repeat("hello\r\n", 1<<18), nil, "a@b", "c@d", "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			srv := server(t, nil)
			send(t, tt.message, append([]string{"-addr", srv.Addr(), "-tls", "none", "-t"}, tt.more...)...).want(t, 0, "")
			if tt.data == "" {
				tt.data = tt.message
			}
			all := srv.Messages()
			if len(all) != 1 {
				t.Fatalf("%d messages", len(all))
			}
			m := all[0]
			if m.From != tt.from || strings.Join(m.To, " ") != tt.to || !strings.Contains(strings.Join(m.Params, " "), tt.params) {
				t.Errorf("from %s to %q, parameters %q", m.From, m.To, m.Params)
			}
			if string(m.Data) != tt.data {
				t.Errorf("message %.200q, want %.200q", m.Data, tt.data)
			}
		})
	}
}

func TestFlags(t *testing.T) {
	srv := server(t, nil)
	send(t, letter, toServer(srv, "-user", "me", "-mechanisms", "LOGIN,PLAIN", "-name", "client.example.org")...).want(t, 0, "")
	for _, start := range []string{"[1] C: EHLO client.example.org", "[1] C: AUTH LOGIN"} {
		if !slices.ContainsFunc(srv.Transcript(), func(line string) bool { return strings.HasPrefix(line, start) }) {
			t.Errorf("no %s in\n%s", start, strings.Join(srv.Transcript(), "\n"))
		}
	}
	if m := srv.Messages(); len(m) != 1 || m[0].Auth != "me" {
		t.Errorf("messages %+v", m)
	}
}

func TestPin(t *testing.T) {
	srv := smtptest.NewServer(&smtptest.Config{TLS: smtptest.ImplicitTLS})
	defer srv.Close()
	cfg := srv.ClientTLSConfig()
	cfg.ServerName = "localhost"
	nc, err := tls.Dial("tcp", srv.Addr(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(nc.ConnectionState().PeerCertificates[0].RawSubjectPublicKeyInfo)
	nc.Close()
	other := strings.Repeat("0", 64)
	for _, tt := range []struct {
		pins   []string
		status int
	}{
		{[]string{"-pin", fmt.Sprintf("sha256:%x", sum)}, 0},
		{[]string{"-pin", fmt.Sprintf("%X", sum)}, 0},
		{[]string{"-pin", other, "-pin", fmt.Sprintf("SHA256:%x", sum)}, 0},
		{[]string{"-pin", other}, exitNotSent},
		{nil, exitNotSent},
	} {
		flags := append([]string{"-addr", srv.Addr(), "-tls", "implicit", "-from", "a@b", "-to", "c@d"}, tt.pins...)
		send(t, letter, flags...).want(t, tt.status, "")
	}
}

// TestHTTPProxy sends through a proxy that asks for a password.
func TestHTTPProxy(t *testing.T) {
	srv := server(t, nil)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	heads := make(chan string, 2)
	go func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			go proxy(nc, srv.Addr(), heads)
		}
	}()
	for _, scheme := range []string{"", "http://"} {
		flags := []string{"-addr", "mail.example.org:587", "-tls", "none", "-from", "a@b", "-to", "c@d", "-http-proxy", scheme + "me:pw@" + l.Addr().String()}
		send(t, letter, flags...).want(t, 0, "")
		head := ""
		select {
		case head = <-heads:
		default: // the program did not ask
		}
		if !strings.HasPrefix(head, "CONNECT mail.example.org:587 ") || !strings.Contains(head, "Proxy-Authorization: Basic bWU6cHc=") {
			t.Errorf("the proxy was asked: %q", head)
		}
	}
	if n := len(srv.Messages()); n != 2 {
		t.Errorf("%d messages", n)
	}
}

// proxy connects one client with addr, whatever it asked for.
func proxy(nc net.Conn, addr string, heads chan<- string) {
	defer nc.Close()
	var head []byte
	for b := make([]byte, 1); !bytes.HasSuffix(head, []byte("\r\n\r\n")); {
		if _, err := nc.Read(b); err != nil {
			return
		}
		head = append(head, b...)
	}
	heads <- string(head)
	to, err := net.Dial("tcp", addr)
	if err != nil {
		return
	}
	defer to.Close()
	io.WriteString(nc, "HTTP/1.1 200 OK\r\n\r\n")
	go io.Copy(to, nc)
	io.Copy(nc, to)
}

// TestInterrupted stops the program by a signal or by its time, wherever it waits.
func TestInterrupted(t *testing.T) {
	type ending struct {
		name   string
		signal os.Signal // nil is the end of -timeout
	}
	endings := []ending{{"time", nil}}
	if runtime.GOOS != "windows" {
		endings = append(endings, ending{"SIGINT", os.Interrupt}, ending{"SIGTERM", syscall.SIGTERM})
	}
	for _, tt := range []struct {
		name   string
		silent string   // the command that the server does not answer
		stdin  []string // what is written, each when the program waits; it stays open
		status int
	}{
		{"waiting for standard input", "", nil, exitTemporary},
		{"waiting for more of it", "", []string{letter}, exitTemporary},
		{"within a long message", "", []string{letter, strings.Repeat("hello\r\n", 1<<16)}, exitTemporary},
		{"greeting", "CONNECT", []string{letter, ""}, exitTemporary},
		{"recipient", "RCPT", []string{letter, ""}, exitTemporary},
		{"verdict", "MESSAGE", []string{letter, ""}, exitUnknown},
		{"goodbye", "QUIT", []string{letter, ""}, 0},
	} {
		for _, end := range endings {
			t.Run(tt.name+", "+end.name, func(t *testing.T) {
				t.Parallel()
				interrupt(t, tt.silent, tt.stdin, end.signal, tt.status)
			})
		}
	}
}

// interrupt runs the program until it waits and then stops it. An empty text closes
// standard input.
func interrupt(t *testing.T, silent string, stdin []string, signal os.Signal, status int) {
	t.Helper()
	reached := make(chan bool, 100)
	srv := smtptest.NewServer(&smtptest.Config{TLS: smtptest.NoTLS, Hook: func(c smtptest.Command) *smtptest.Answer {
		if c.Verb != silent {
			return nil
		}
		reached <- true
		return &smtptest.Answer{}
	}})
	defer srv.Close()
	limit := "-timeout=30s"
	if signal == nil {
		limit = "-timeout=1s"
	}
	cmd := program(t, toServer(srv, limit)...)
	input, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer input.Close()
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for _, text := range stdin {
		if text == "" {
			input.Close()
		} else {
			io.WriteString(input, text)
		}
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	start := time.Now()
	if signal != nil {
		select {
		case <-reached:
		case <-time.After(map[bool]time.Duration{true: time.Second, false: 20 * time.Second}[silent == ""]):
			// It waits for standard input, which nobody can see.
		case err := <-ended:
			t.Fatalf("it ended by itself: %v; output:\n%s", err, output.String())
		}
		start = time.Now()
		if err := cmd.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
	}
	<-ended
	if took := time.Since(start); took > 4*time.Second { // waiting for a goodbye takes 5 s
		t.Errorf("it took %v", took)
	}
	if n := len(srv.Messages()); (n == 1) != (status == 0) {
		t.Errorf("%d messages", n)
	}
	if got := cmd.ProcessState.ExitCode(); got != status {
		t.Errorf("status %d, want %d; output:\n%s", got, status, output.String())
	}
}

// A server of LMTP at a Unix socket, which answers for each recipient.
func TestLMTP(t *testing.T) {
	srv := smtptest.NewServer(&smtptest.Config{LMTP: true, Network: "unix", Hook: func(c smtptest.Command) *smtptest.Answer {
		if c.Verb == "MESSAGE" && c.Addr == "full@example.net" {
			return &smtptest.Answer{Reply: "452 4.2.2 full"}
		}
		return nil
	}})
	defer srv.Close()
	for to, status := range map[string]int{"you@example.net": 0, "you@example.net,full@example.net": exitPartly, "full@example.net": exitTemporary} {
		send(t, letter, "-lmtp", "-addr", "unix:"+srv.Addr(), "-from", "me@example.org", "-to", to).want(t, status, "")
	}
	if m := srv.Messages(); len(m) != 2 {
		t.Errorf("%d messages", len(m))
	}
}
