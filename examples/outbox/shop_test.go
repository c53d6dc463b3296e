package main

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fe022423/submission"
	"github.com/fe022423/submission/outbox"
	"github.com/fe022423/submission/smtptest"
)

// shop is the service under test, with a mail server of its own and a queue on disk. Its worker
// runs between work and stop.
type shop struct {
	*service
	t      *testing.T
	mail   *smtptest.Server
	client *submission.Client
	url    string
	events chan outbox.Event
	stop   func()
}

// hostile is a reply by somebody who wants to be more than text.
const hostile = `550 5.1.1 <script>document.title='taken'</script><img src=x onerror=alert(1)>"'&amp; no`

// openShop starts the service as main does, but for the port and the worker.
func openShop(t *testing.T, change func(*outbox.Options)) *shop {
	t.Helper()
	s := &shop{t: t, events: make(chan outbox.Event, 1000), stop: func() {}}
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	s.mail = smtptest.New(t, &smtptest.Config{Accounts: map[string]string{"shop": "a secret"}, Hook: byRecipient})
	client, from, err := newClient(s.mail.URL() + "&from=shop@example.org")
	if err != nil {
		t.Fatal(err)
	}
	options := &outbox.Options{Dir: t.TempDir(), Logger: log, Observe: func(e outbox.Event) { s.events <- e }}
	if change != nil {
		change(options)
	}
	queue, err := outbox.Open(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	s.client = client
	s.service = &service{queue: queue, from: from, log: log, local: true}
	web := httptest.NewServer(s.handler())
	s.url = web.URL
	t.Cleanup(func() {
		s.stop()
		web.Close()
		queue.Close()
		client.Close()
	})
	return s
}

// byRecipient refuses, puts off and loses mail, by whom it is for.
func byRecipient(c smtptest.Command) *smtptest.Answer {
	for _, to := range c.Message.To {
		if c.Verb == "MESSAGE" && strings.HasPrefix(to, "lost") {
			return &smtptest.Answer{Close: true}
		}
	}
	return smtptest.First(
		smtptest.On("RCPT", "gone@example.net", hostile),
		smtptest.On("RCPT", "later@example.net", "451 4.7.1 greylisted"),
	)(c)
}

// work starts the worker. What is deferred stays deferred.
func (s *shop) work() {
	ctx, cancel := context.WithCancel(s.t.Context())
	ended := make(chan error, 1)
	w := s.workOptions(s.client)
	w.Backoff = func(int, *submission.SendError) time.Duration { return time.Hour }
	go func() { ended <- s.queue.Work(ctx, w) }()
	s.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			s.t.Error(err)
		}
	})
}

// patience ends a test that hangs. Nothing waits for it otherwise.
func patience(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// becomes waits until something becomes of a message, and checks what.
func (s *shop) becomes(id outbox.ID, want outbox.Status) {
	s.t.Helper()
	limit := patience(s.t)
	for {
		select {
		case e := <-s.events:
			if e.Record.ID == id && (e.Kind == outbox.EventSettled || e.Kind == outbox.EventUncertain) {
				s.wants(id, want)
				return
			}
		case <-limit.Done():
			s.t.Fatalf("nothing becomes of %s", id)
		}
	}
}

// wants checks what the queue says of a message.
func (s *shop) wants(id outbox.ID, want outbox.Status) {
	s.t.Helper()
	r, err := s.queue.Get(patience(s.t), id)
	if err != nil || r.Status != want {
		s.t.Errorf("%s is %q (%s), %v, want %q", r.Key, r.Status, r.Err, err, want)
	}
}

// put queues a message with the name of its recipients as its key.
func (s *shop) put(to ...string) outbox.ID {
	s.t.Helper()
	env := submission.Envelope{From: "shop@example.org", Partial: true}
	for _, name := range to {
		env.To = append(env.To, submission.Recipient{Addr: name + "@example.net"})
	}
	key := strings.Join(to, " and ")
	text := "Subject: for " + key + "\r\nMessage-ID: <" + to[0] + "@example.org>\r\n\r\nhello\r\n"
	id, err := s.queue.Enqueue(patience(s.t), env, strings.NewReader(text), &outbox.Item{Key: key})
	if err != nil {
		s.t.Fatal(err)
	}
	return id
}

// sale is a message of each status that one can see on the page.
type sale struct{ sent, failed, partly, deferred, held, queued outbox.ID }

func (s *shop) sale() (all sale) {
	s.t.Helper()
	s.work()
	all.sent = s.put("anna")
	s.becomes(all.sent, outbox.Sent)
	all.failed = s.put("gone")
	s.becomes(all.failed, outbox.Failed)
	all.partly = s.put("bert", "gone")
	s.becomes(all.partly, outbox.PartlySent)
	all.deferred = s.put("later")
	s.becomes(all.deferred, outbox.Deferred)
	all.held = s.put("lost")
	s.becomes(all.held, outbox.Held)
	s.stop()
	all.queued = s.put("new")
	return all
}

// get returns the status and the body of a page.
func (s *shop) get(path string) (status int, body string) {
	s.t.Helper()
	resp, err := http.Get(s.url + path)
	if err != nil {
		s.t.Fatal(err)
	}
	return resp.StatusCode, read(s.t, resp)
}

func read(t *testing.T, resp *http.Response) string {
	t.Helper()
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Error(err)
	}
	return string(text)
}

// post sends a form as a browser does from the page itself, unless header says something else.
// It follows a redirect.
func (s *shop) post(path string, form url.Values, header http.Header) (status int, body string) {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), "POST", s.url+path, strings.NewReader(form.Encode()))
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header = http.Header{"Origin": {s.url}, "Sec-Fetch-Site": {"same-origin"}, "Accept": {"text/html"}}
	for k, v := range header {
		r.Header[k] = v
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if host := header.Get("Host"); host != "" {
		r.Host = host
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	return resp.StatusCode, read(s.t, resp)
}

// order posts an order as a program does.
func (s *shop) order(form url.Values) (status int, header http.Header, a answer) {
	s.t.Helper()
	resp, err := http.PostForm(s.url+"/orders", form)
	if err != nil {
		s.t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(read(s.t, resp)), &a); err != nil {
		s.t.Errorf("%s: %v", resp.Status, err)
	}
	return resp.StatusCode, resp.Header, a
}
