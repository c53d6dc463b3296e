package main

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fe022423/submission/smtptest"
)

const anna = `{"name": "Anna", "email": "anna@example.net", "items": [{"name": "coffee", "count": 2}]}`

// shop is the service under test with a mail server of its own.
type shop struct {
	mail *smtptest.Server
	url  string
}

// openShop starts the service as main does, but for the port.
func openShop(t *testing.T) *shop {
	t.Helper()
	srv := smtptest.New(t, &smtptest.Config{Accounts: map[string]string{"shop": "a secret"}})
	s, err := newService(srv.URL()+"&from=shop@example.org", slog.New(slog.NewTextHandler(t.Output(), nil)))
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(s.handler())
	t.Cleanup(func() {
		web.Close()
		s.client.Close()
	})
	return &shop{srv, web.URL}
}

// order posts an order and returns what the service said.
func (s *shop) order(t *testing.T, body string) (status int, header http.Header, a answer) {
	t.Helper()
	resp, err := http.Post(s.url+"/orders", "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&a); err != nil {
		t.Errorf("%v: %v", resp.Status, err)
	}
	return resp.StatusCode, resp.Header, a
}

// get returns the status and the body of a page.
func (s *shop) get(t *testing.T, path string) (status int, body string) {
	t.Helper()
	resp, err := http.Get(s.url + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Error(err)
	}
	return resp.StatusCode, string(text)
}

// next waits for a mail and reads it.
func (s *shop) next(t *testing.T) (smtptest.Message, *smtptest.Mail) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	m, err := s.mail.Next(ctx)
	if err != nil {
		t.Fatal(err)
	}
	letter, err := m.Parse()
	if err != nil {
		t.Fatal(err)
	}
	return m, letter
}

// wantNoMail checks that nothing arrived but what next has returned.
func (s *shop) wantNoMail(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // so Next does not wait
	if m, err := s.mail.Next(ctx); err == nil {
		t.Errorf("a mail to %v:\n%s", m.To, m.Data)
	}
}

func TestOrder(t *testing.T) {
	shop := openShop(t)
	status, _, said := shop.order(t, anna)
	if status != http.StatusAccepted {
		t.Fatalf("%d: %+v", status, said)
	}
	m, letter := shop.next(t)
	if m.From != "shop@example.org" || !slices.Equal(m.To, []string{"anna@example.net"}) || m.Auth != "shop" || !m.TLS {
		t.Errorf("from %s to %v, by %q, TLS %v", m.From, m.To, m.Auth, m.TLS)
	}
	if letter.Subject != "Your order, Anna" || letter.To[0].Name != "Anna" || !strings.HasPrefix(letter.Text, "Hello Anna,\n") {
		t.Errorf("%s, to %v:\n%s", letter.Subject, letter.To, letter.Text)
	}
	if id := letter.Header.Get("Message-Id"); id == "" || id != said.MessageID {
		t.Errorf("Message-ID %s, the service said %s", id, said.MessageID)
	}
	if len(letter.Attachments) != 1 {
		t.Fatalf("attachments %+v", letter.Attachments)
	}
	if a := letter.Attachments[0]; a.Name != "order.csv" || a.Type != "text/csv" || string(a.Data) != "item,count\ncoffee,2\n" {
		t.Errorf("attachment %s, %s: %q", a.Name, a.Type, a.Data)
	}
	shop.wantNoMail(t)
}

// What the service says when the mail server does not take the mail. Each can be provoked by
// one line.
func TestMailFails(t *testing.T) {
	hangUp := func(c smtptest.Command) *smtptest.Answer {
		if c.Verb != "MESSAGE" {
			return nil
		}
		return &smtptest.Answer{Close: true}
	}
	for _, tt := range []struct {
		name   string
		hook   smtptest.Hook
		status int
		unsure bool
	}{
		{"no such address", smtptest.On("RCPT", "anna@example.net", "550 5.1.1 no such user"), http.StatusUnprocessableEntity, false},
		{"mailbox full", smtptest.On("RCPT", "anna@example.net", "452 4.2.2 mailbox full"), http.StatusServiceUnavailable, false},
		{"server out of order", smtptest.On("MAIL", "", "451 4.3.0 later"), http.StatusServiceUnavailable, false},
		{"server restarts", smtptest.On("CONNECT", "", "421 4.3.2 restarting"), http.StatusServiceUnavailable, false},
		{"greylisting", smtptest.Greylist(time.Hour), http.StatusServiceUnavailable, false},
		{"wrong password", smtptest.On("AUTH", "", "535 5.7.8 no"), http.StatusBadGateway, false},
		{"taken for spam", smtptest.On("MESSAGE", "", "554 5.7.1 no"), http.StatusBadGateway, false},
		{"sender refused", smtptest.On("MAIL", "", "550 5.7.1 no"), http.StatusBadGateway, false},
		{"lost at the end", hangUp, http.StatusBadGateway, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			shop := openShop(t)
			shop.mail.SetHook(tt.hook)
			status, header, said := shop.order(t, anna)
			if status != tt.status || said.Error == "" || said.MayBeSent != tt.unsure {
				t.Errorf("%d: %+v, want %d", status, said, tt.status)
			}
			if later := header.Get("Retry-After") != ""; later != (tt.status == http.StatusServiceUnavailable) {
				t.Errorf("Retry-After %q", header.Get("Retry-After"))
			}
			if strings.ContainsAny(said.Error, "0123456789") {
				t.Errorf("the customer sees the words of the server: %s", said.Error)
			}
			shop.wantNoMail(t)

			shop.mail.SetHook(nil) // it works again, and so does the service
			if status, _, said := shop.order(t, anna); status != http.StatusAccepted {
				t.Fatalf("%d: %+v", status, said)
			}
			shop.next(t)
			shop.wantNoMail(t)
		})
	}
}

// The mail server goes down, and comes up again.
func TestMailServerDown(t *testing.T) {
	shop := openShop(t)
	shop.order(t, anna) // so that a session is open, which the crash cuts
	shop.next(t)

	shop.mail.Stop()
	if status, _, said := shop.order(t, anna); status != http.StatusServiceUnavailable || said.MayBeSent {
		t.Errorf("down: %d, %+v", status, said)
	}
	if status, body := shop.get(t, "/healthz"); status != http.StatusServiceUnavailable {
		t.Errorf("down: %d, %s", status, body)
	}

	shop.mail.Start()
	if status, body := shop.get(t, "/healthz"); status != http.StatusOK {
		t.Errorf("up: %d, %s", status, body)
	}
	if status, _, said := shop.order(t, anna); status != http.StatusAccepted {
		t.Errorf("up: %d, %+v", status, said)
	}
	shop.next(t)
	shop.wantNoMail(t) // the order that failed is not sent behind the customer's back
}

// Health is more than a port that is open: the credentials must be right.
func TestHealthNeedsLogin(t *testing.T) {
	shop := openShop(t)
	shop.mail.SetHook(smtptest.On("AUTH", "", "535 5.7.8 no"))
	status, body := shop.get(t, "/healthz")
	if status != http.StatusServiceUnavailable || strings.Contains(body, "535") {
		t.Errorf("%d: %s", status, body)
	}
}

// An order that makes no sense costs the mail server nothing.
func TestBadOrders(t *testing.T) {
	shop := openShop(t)
	with := func(old, new string) string { return strings.Replace(anna, old, new, 1) }
	for name, body := range map[string]string{
		"empty":             "",
		"not JSON":          "name=Anna",
		"half":              anna[:len(anna)/2],
		"two orders":        anna + anna,
		"unknown field":     with(`"name"`, `"nmae"`),
		"no name":           with(`"Anna"`, `""`),
		"long name":         with(`"Anna"`, `"`+strings.Repeat("x", 300)+`"`),
		"no address":        with("anna@example.net", "anna"),
		"two addresses":     with("anna@example.net", "anna@example.net, spy@example.com"),
		"display name":      with("anna@example.net", "Anna <anna@example.net>"),
		"brackets":          with("anna@example.net", "<anna@example.net>"),
		"line break":        with("anna@example.net", `anna@example.net\r\nBcc: spy@example.com`),
		"no items":          `{"name": "Anna", "email": "anna@example.net", "items": []}`,
		"item without name": with(`"coffee"`, `""`),
		"no count":          with("2", "0"),
		"negative count":    with("2", "-1"),
		"count of a kind":   with("2", `"2"`),
		"long":              `{"items": [` + strings.Repeat(`{"name": "coffee", "count": 2},`, 50_000) + `]}`,
		"many items":        with(`{"name": "coffee", "count": 2}`, strings.Repeat(`{"name": "c", "count": 2},`, 1000)+`{"name": "c", "count": 2}`),
	} {
		if status, _, said := shop.order(t, body); status != http.StatusBadRequest || said.Error == "" {
			t.Errorf("%s: %d, %+v", name, status, said)
		}
	}
	for path, want := range map[string]int{"/orders": http.StatusMethodNotAllowed, "/": http.StatusNotFound} {
		if status, _ := shop.get(t, path); status != want {
			t.Errorf("GET %s: %d, want %d", path, status, want)
		}
	}
	if n := shop.mail.Sessions(); n > 0 {
		t.Errorf("%d sessions", n)
	}
}

// Whatever a customer writes, it adds no field and no recipient to the mail.
func TestHostileOrders(t *testing.T) {
	shop := openShop(t)
	for _, text := range []string{
		"Jürgen Groß", "日本", `quoted "name"`, "inj\r\nBcc: spy@example.com", "inj\nBcc: spy@example.com\n\nx", "\r\n.\r\n", `a,"b`, "x\x00",
	} {
		body, err := json.Marshal(order{Name: text, Email: "anna@example.net", Items: []item{{text, 1}}})
		if err != nil {
			t.Fatal(err)
		}
		if status, _, said := shop.order(t, string(body)); status != http.StatusAccepted {
			t.Errorf("%q: %d, %+v", text, status, said)
			continue
		}
		m, letter := shop.next(t)
		if !slices.Equal(m.To, []string{"anna@example.net"}) || len(letter.To) != 1 || letter.Header.Get("Bcc") != "" || len(letter.Attachments) != 1 {
			t.Errorf("%q: to %v:\n%s", text, m.To, m.Data)
		}
		if !strings.ContainsAny(text, "\r\n\x00") && (letter.To[0].Name != text || letter.Subject != "Your order, "+text) {
			t.Errorf("%q: to %q, subject %q", text, letter.To[0].Name, letter.Subject)
		}
	}
}
