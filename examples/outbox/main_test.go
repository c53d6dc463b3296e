package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/fe022423/submission"
	"github.com/fe022423/submission/outbox"
	"github.com/fe022423/submission/smtptest"
)

var envelope = submission.Envelope{From: "shop@example.org", To: submission.To("anna@example.net")}

// signals is a log that tells of each line.
type signals chan string

func (s signals) Write(p []byte) (int, error) { s <- string(p); return len(p), nil }

// until returns the next line that has a text.
func (s signals) until(t *testing.T, text string) string {
	t.Helper()
	limit := patience(t)
	for {
		select {
		case line := <-s:
			if strings.Contains(line, text) {
				return line
			}
		case <-limit.Done():
			t.Fatalf("the log has no %q", text)
		}
	}
}

// program is a run of main without its process.
type program struct {
	url   string
	lines signals
	end   func() error
}

func start(t *testing.T, serverURL string, args ...string) *program {
	t.Helper()
	p := &program{lines: make(signals, 1000)}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- run(ctx, append([]string{"-listen", "127.0.0.1:0"}, args...), serverURL, slog.New(slog.NewTextHandler(p.lines, nil)))
	}()
	p.end = func() error { stop(); return <-ended }
	_, p.url, _ = strings.Cut(strings.TrimSpace(p.lines.until(t, "msg=listening")), "url=")
	return p
}

func (p *program) order(t *testing.T, form url.Values) int {
	t.Helper()
	resp, err := http.PostForm(p.url+"/orders", form)
	if err != nil {
		t.Fatal(err)
	}
	read(t, resp)
	return resp.StatusCode
}

// Without a server the program brings its own, which can be told to do worse. What became of the
// mails is on the page.
func TestDemonstration(t *testing.T) {
	p := start(t, "")
	for _, tt := range []struct{ fake, log string }{
		{"take", "status=sent"}, {"later", ""}, {"refuse", "status=failed"}, {"hang-up", "status=held"}, {"take", "status=sent"},
	} {
		resp, err := http.PostForm(p.url+"/fake", url.Values{"behaviour": {tt.fake}})
		if err != nil {
			t.Fatal(err)
		}
		if body := read(t, resp); !strings.Contains(body, `<option value="`+tt.fake+`" selected>`) {
			t.Errorf("the page does not say that the server does %s", tt.fake)
		}
		if status := p.order(t, url.Values{"email": {"anna@example.net"}}); status != http.StatusAccepted {
			t.Errorf("%s: %d", tt.fake, status)
		}
		if tt.log != "" {
			p.lines.until(t, tt.log)
			continue
		}
		limit := patience(t)
		for deferred := false; !deferred && limit.Err() == nil; { // nothing is logged of it
			resp, err := http.Get(p.url + "/?show=deferred")
			if err != nil {
				t.Fatal(err)
			}
			deferred = strings.Contains(read(t, resp), "greylisted, come back in five minutes")
		}
	}
	if err := p.end(); err != nil {
		t.Error(err)
	}
}

// With -fake the server begins so.
func TestFakeFlag(t *testing.T) {
	p := start(t, "", "-fake", "refuse")
	p.order(t, url.Values{"email": {"anna@example.net"}})
	p.lines.until(t, "status=failed")
	if err := p.end(); err != nil {
		t.Error(err)
	}
}

// The queue in -dir is there again after the program has ended, with what was not sent.
func TestQueueStays(t *testing.T) {
	srv := smtptest.New(t, nil)
	serverURL, dir := srv.URL()+"&from=shop@example.org", t.TempDir()
	srv.Stop()
	p := start(t, serverURL, "-dir", dir)
	if status := p.order(t, orderOf("anna@example.net")); status != http.StatusAccepted {
		t.Fatal(status)
	}
	if err := p.end(); err != nil {
		t.Error(err)
	}
	srv.Start()
	p = start(t, serverURL, "-dir", dir)
	if status := p.order(t, orderOf("anna@example.net")); status != http.StatusOK { // it is known
		t.Error(status)
	}
	if err := p.end(); err != nil {
		t.Error(err)
	}
}

// door is a listener that tells when it is closed.
type door struct {
	net.Listener
	closed chan struct{}
}

func (d *door) Close() error { // net/http calls it once
	err := d.Listener.Close()
	close(d.closed)
	return err
}

// The mail that is under way when the service is to end gets its verdict, and no order is taken
// any more.
func TestGracefulEnd(t *testing.T) {
	shop := openShop(t, nil)
	reached, released := make(chan struct{}, 1), make(chan struct{})
	shop.mail.SetHook(func(c smtptest.Command) *smtptest.Answer {
		if c.Verb == "MESSAGE" {
			reached <- struct{}{}
			<-released
		}
		return nil
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d := &door{l, make(chan struct{})}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- shop.serve(ctx, d, shop.workOptions(shop.client)) }()
	begun := shop.put("anna")
	<-reached
	stop()
	<-d.closed
	if nc, err := net.Dial("tcp", l.Addr().String()); err == nil {
		nc.Close()
		t.Error("it still takes orders")
	}
	shop.wants(begun, outbox.Committing)
	close(released)
	if err := <-ended; err != nil {
		t.Error(err)
	}
	shop.wants(begun, outbox.Sent)
}

// A service whose queue or listener fails ends, with the reason.
func TestEndsWithReason(t *testing.T) {
	for name, breakIt := range map[string]func(*shop, net.Listener){
		"queue":    func(s *shop, _ net.Listener) { s.queue.Close() },
		"listener": func(_ *shop, l net.Listener) { l.Close() },
	} {
		shop := openShop(t, nil)
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		breakIt(shop, l)
		err = shop.serve(patience(t), l, shop.workOptions(shop.client))
		if want := map[string]error{"queue": outbox.ErrClosed, "listener": net.ErrClosed}[name]; !errors.Is(err, want) {
			t.Errorf("%s: %v", name, err)
		}
	}
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
		{[]string{"-fake", "explode"}, "", "explode"},
		{[]string{"-fake", "take"}, "smtp://mail.example.org?from=shop@example.org", "-fake"},
		{[]string{"-dir", "/dev/null"}, "", "/dev/null"},
	} {
		err := run(t.Context(), tt.args, tt.url, log)
		if err == nil || !strings.Contains(err.Error(), tt.text) {
			t.Errorf("%q %s: error %v, want %q", tt.args, tt.url, err, tt.text)
		}
	}
}
