package main

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/fe022423/submission/outbox"
)

func orderOf(email string) url.Values {
	return url.Values{"email": {email}, "order": {"17"}, "placed": {"2026-01-05T10:00:00Z"}}
}

// An order is answered when its mail is queued, and the mail is what the order says.
func TestOrder(t *testing.T) {
	shop := openShop(t, nil)
	status, _, said := shop.order(orderOf("anna@example.net"))
	if status != http.StatusAccepted || said.Order != "17" || said.Error != "" {
		t.Fatalf("%d: %+v", status, said)
	}
	shop.wants(said.ID, outbox.Queued)
	shop.work()
	shop.becomes(said.ID, outbox.Sent)
	m, err := shop.mail.Next(patience(t))
	if err != nil {
		t.Fatal(err)
	}
	letter, err := m.Parse()
	if err != nil {
		t.Fatal(err)
	}
	if m.From != "shop@example.org" || !slices.Equal(m.To, []string{"anna@example.net"}) || m.Auth != "shop" || !m.TLS {
		t.Errorf("from %s to %v, by %q, TLS %v", m.From, m.To, m.Auth, m.TLS)
	}
	if letter.Subject != "Your order 17" || letter.Header.Get("Message-Id") != "<order-17@example.org>" || letter.Header.Get("Date") != "Mon, 05 Jan 2026 10:00:00 +0000" {
		t.Errorf("%v", letter.Header)
	}
}

// An order that is sent again brings no second mail, before and after the first one was sent;
// one with the same number and another address is refused.
func TestOrderAgain(t *testing.T) {
	shop := openShop(t, nil)
	_, _, first := shop.order(orderOf("anna@example.net"))
	again := func() {
		t.Helper()
		if status, _, said := shop.order(orderOf("anna@example.net")); status != http.StatusOK || !said.Repeated || said.ID != first.ID {
			t.Errorf("again: %d, %+v", status, said)
		}
		if status, _, said := shop.order(orderOf("bert@example.net")); status != http.StatusConflict || said.Error == "" {
			t.Errorf("another one: %d, %+v", status, said)
		}
	}
	again()
	shop.work()
	shop.becomes(first.ID, outbox.Sent)
	again()
	shop.stop()
	if n := len(shop.mail.Messages()); n != 1 {
		t.Errorf("%d mails", n)
	}
}

// Without a number each order is another one.
func TestOrdersWithoutNumber(t *testing.T) {
	shop := openShop(t, nil)
	form := url.Values{"email": {"anna@example.net"}}
	_, _, a := shop.order(form)
	_, _, b := shop.order(form)
	if a.ID == b.ID || a.Order == b.Order || a.Order == "" {
		t.Errorf("%+v, %+v", a, b)
	}
}

// An order that makes no sense does not reach the queue.
func TestBadOrders(t *testing.T) {
	shop := openShop(t, nil)
	for name, form := range map[string]url.Values{
		"empty":            {},
		"no address":       orderOf("anna"),
		"two addresses":    orderOf("anna@example.net, spy@example.com"),
		"display name":     orderOf("Anna <anna@example.net>"),
		"brackets":         orderOf("<anna@example.net>"),
		"line break":       orderOf("anna@example.net\r\nBcc: spy@example.com"),
		"number, no time":  {"email": {"anna@example.net"}, "order": {"17"}},
		"time, no number":  {"email": {"anna@example.net"}, "placed": {"2026-01-05T10:00:00Z"}},
		"not a time":       {"email": {"anna@example.net"}, "order": {"17"}, "placed": {"today"}},
		"number with >":    {"email": {"anna@example.net"}, "order": {"1>7"}, "placed": {"2026-01-05T10:00:00Z"}},
		"number of breaks": {"email": {"anna@example.net"}, "order": {"1\r\n7"}, "placed": {"2026-01-05T10:00:00Z"}},
		"long number":      {"email": {"anna@example.net"}, "order": {strings.Repeat("1", 41)}, "placed": {"2026-01-05T10:00:00Z"}},
		"long":             {"email": {strings.Repeat("a", 100<<10)}},
	} {
		if status, _, said := shop.order(form); status != http.StatusBadRequest || said.Error == "" {
			t.Errorf("%s: %d, %+v", name, status, said)
		}
	}
	if status, _, said := shop.order(orderOf(strings.Repeat("a", 65) + "@example.net")); status != http.StatusUnprocessableEntity {
		t.Errorf("an address that no server takes: %d, %+v", status, said)
	}
	stats, err := shop.queue.Stats(t.Context())
	if err != nil || len(stats.Counts) > 0 {
		t.Errorf("%+v, %v", stats, err)
	}
}

// When the queue takes nothing, the customer is told to come back with the same order.
func TestOrderNotQueued(t *testing.T) {
	for name, shop := range map[string]*shop{
		"full":   openShop(t, func(o *outbox.Options) { o.MaxBytes = 1000 }),
		"closed": openShop(t, nil),
	} {
		if name == "closed" {
			shop.queue.Close()
		}
		status, header, said := shop.order(orderOf("anna@example.net"))
		if status != http.StatusServiceUnavailable || header.Get("Retry-After") == "" || said.Order != "17" || said.Placed != "2026-01-05T10:00:00Z" {
			t.Errorf("%s: %d, %+v", name, status, said)
		}
		if name == "full" && len(shop.mail.Messages()) > 0 {
			t.Error("it was sent")
		}
	}
}

// A browser that orders twice with one form is shown that there is one mail.
func TestOrderInBrowser(t *testing.T) {
	shop := openShop(t, nil)
	for _, want := range []string{notices["ordered"], notices["repeated"]} {
		if status, body := shop.post("/orders", orderOf("anna@example.net"), nil); status != http.StatusOK || !strings.Contains(body, want) {
			t.Errorf("%d, no %q", status, want)
		}
	}
	if status, body := shop.post("/orders", orderOf("<b>x"), nil); status != http.StatusBadRequest || !strings.Contains(body, "not a mail address") {
		t.Errorf("%d: %s", status, body)
	}
}
