package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/mail"
	"net/netip"
	"time"

	"github.com/fe022423/submission"
	"github.com/fe022423/submission/outbox"
)

// Both are less than the 30 s that Kubernetes gives a process by default.
const (
	// webGrace is for orders that were begun when the service is to end. Browsers open
	// connections that they do not use yet; net/http waits 5 s for a request on them.
	webGrace  = 8 * time.Second
	workGrace = 20 * time.Second // for mails that were begun
)

// service is the web service. It has no state but the queue.
type service struct {
	queue *outbox.Outbox
	from  *mail.Address
	fake  *fakeServer // nil with a real one
	log   *slog.Logger
	local bool // it listens on this machine only
}

// workOptions are those of the worker: the defaults, but for the end.
func (s *service) workOptions(client *submission.Client) *outbox.WorkOptions {
	return &outbox.WorkOptions{
		Client: func(string) (*submission.Client, error) { return client, nil },
		Grace:  workGrace,
		OnDone: func(ctx context.Context, r outbox.Record) { // here a shop would note it at the order
			s.log.InfoContext(ctx, "done", "order", r.Key, "status", r.Status, "error", r.Err)
		},
	}
}

// serve takes orders and sends mail until ctx is done. Then it begins no other one: the orders
// that were begun get into the queue, and the mails that were begun come to their end.
func (s *service) serve(ctx context.Context, l net.Listener, w *outbox.WorkOptions) error {
	working, stopWork := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWork()
	worked, failed := make(chan error, 1), make(chan error, 1)
	go func() { worked <- s.queue.Work(working, w) }()
	web := &http.Server{Handler: s.handler(), ReadTimeout: 30 * time.Second, IdleTimeout: time.Minute}
	go func() { failed <- web.Serve(l) }()
	var err error
	select {
	case err = <-failed:
	case err = <-worked: // it does not end by itself
		worked <- nil
	case <-ctx.Done():
	}
	stopWork()
	deadline, cancel := context.WithTimeout(context.WithoutCancel(ctx), webGrace)
	defer cancel()
	return errors.Join(err, web.Shutdown(deadline), <-worked)
}

func (s *service) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /orders", s.takeOrder)
	mux.HandleFunc("GET /{$}", s.showQueue)
	mux.HandleFunc("GET /queue/{id}", s.showMessage)
	mux.HandleFunc("POST /queue/{id}/{action}", s.act)
	mux.HandleFunc("GET /style.css", showStyle)
	if s.fake != nil {
		mux.HandleFunc("POST /fake", s.setFake)
	}
	// A form on another site, opened in the browser of whoever looks after the queue, changes nothing.
	return s.guard(http.NewCrossOriginProtection().Handler(mux))
}

// guard sets the headers of every answer. On a loopback address it refuses other host names: a
// site whose name leads to 127.0.0.1 would be of the same origin as the page.
func (s *service) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cache-Control", "no-store") // addresses of customers
		if s.local && !isLocalHost(r.Host) {
			http.Error(w, "ask for it as localhost", http.StatusMisdirectedRequest)
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		next.ServeHTTP(w, r)
	})
}

// isLocalHost reports whether a Host header names this machine.
func isLocalHost(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}
