package main

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/fe022423/submission/smtptest"
)

// door is a listener that tells when it is closed.
type door struct {
	net.Listener
	once   sync.Once
	closed chan struct{}
}

func (d *door) Close() error {
	err := d.Listener.Close()
	d.once.Do(func() { close(d.closed) })
	return err
}

// stuck makes a mail server wait with its answer to a verb until release is called.
func stuck(t *testing.T, srv *smtptest.Server, verb string) (reached chan struct{}, release func()) {
	reached, released := make(chan struct{}, 1), make(chan struct{})
	srv.SetHook(func(c smtptest.Command) *smtptest.Answer {
		if c.Verb == verb {
			reached <- struct{}{}
			<-released
		}
		return nil
	})
	release = sync.OnceFunc(func() { close(released) })
	t.Cleanup(release)
	return reached, release
}

// The order that is under way when the service is to end comes to its end.
func TestGracefulStop(t *testing.T) {
	srv := smtptest.New(t, nil)
	s, err := newService(srv.URL()+"&from=shop@example.org", slog.New(slog.NewTextHandler(t.Output(), nil)))
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d := &door{Listener: l, closed: make(chan struct{})}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.serve(ctx, d) }()

	reached, release := stuck(t, srv, "MESSAGE")
	status := make(chan int, 1)
	go func() {
		resp, err := http.Post("http://"+l.Addr().String()+"/orders", "application/json", strings.NewReader(anna))
		if err != nil {
			t.Error(err)
			status <- 0
			return
		}
		resp.Body.Close()
		status <- resp.StatusCode
	}()
	<-reached
	stop()
	<-d.closed
	if nc, err := net.Dial("tcp", l.Addr().String()); err == nil {
		nc.Close()
		t.Error("it still takes orders")
	}
	release()
	if got := <-status; got != http.StatusAccepted {
		t.Errorf("status %d", got)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if n := len(srv.Messages()); n != 1 {
		t.Errorf("%d messages", n)
	}
	last := srv.Transcript()
	if said := last[len(last)-2]; said != "[1] C: QUIT" {
		t.Errorf("the session ended with %q", said)
	}
}

// A customer who goes away gets the mail all the same.
func TestCustomerGoesAway(t *testing.T) {
	srv := smtptest.New(t, nil)
	s, err := newService(srv.URL()+"&from=shop@example.org", slog.New(slog.NewTextHandler(t.Output(), nil)))
	if err != nil {
		t.Fatal(err)
	}
	defer s.client.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone := make(chan struct{})
	web := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		context.AfterFunc(r.Context(), func() { close(gone) })
		s.handler().ServeHTTP(w, r)
	})}
	ended := make(chan error, 1)
	go func() { ended <- web.Serve(l) }()

	reached, release := stuck(t, srv, "RCPT")
	ctx, goAway := context.WithCancel(t.Context())
	go func() {
		<-reached
		goAway()
		<-gone // the service knows it
		release()
	}()
	r, err := http.NewRequestWithContext(ctx, "POST", "http://"+l.Addr().String()+"/orders", strings.NewReader(anna))
	if err != nil {
		t.Fatal(err)
	}
	if resp, err := http.DefaultClient.Do(r); err == nil {
		t.Error(resp.Status)
	}
	(&shop{mail: srv}).next(t)
	web.Shutdown(t.Context())
	<-ended
}

func TestRun(t *testing.T) {
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	for _, tt := range []struct {
		args []string
		url  string
		text string
	}{
		{nil, "mail.example.org", "scheme"},
		{nil, "smtp://mail.example.org", "?from="},
		{[]string{"-listen", "nowhere:x"}, "smtp://mail.example.org?from=shop@example.org", "listen"},
		{[]string{"-port", "1"}, "", "flag"},
	} {
		err := run(t.Context(), tt.args, tt.url, log)
		if err == nil || !strings.Contains(err.Error(), tt.text) {
			t.Errorf("%q %s: error %v, want %q", tt.args, tt.url, err, tt.text)
		}
	}
}

// signals is a log that tells of each line.
type signals chan string

func (s signals) Write(p []byte) (int, error) { s <- string(p); return len(p), nil }

// Without a server the service brings its own, and logs what arrives there.
func TestDemonstration(t *testing.T) {
	lines := make(signals, 100)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- run(ctx, []string{"-listen", "127.0.0.1:0"}, "", slog.New(slog.NewTextHandler(lines, nil)))
	}()
	line := <-lines
	_, addr, ok := strings.Cut(strings.TrimSpace(line), "msg=listening address=")
	if !ok {
		t.Fatal(line)
	}
	resp, err := http.Post("http://"+addr+"/orders", "application/json", strings.NewReader(anna))
	if err != nil {
		t.Fatal(err)
	}
	if resp.Body.Close(); resp.StatusCode != http.StatusAccepted {
		t.Error(resp.Status)
	}
	for line = range lines {
		if strings.Contains(line, "msg=arrived") {
			break
		}
	}
	for _, want := range []string{"to=[anna@example.net]", `subject="Your order, Anna"`, `attachment="item,count\ncoffee,2\n"`} {
		if !strings.Contains(line, want) {
			t.Errorf("no %s in %s", want, line)
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
