// Command webservice is a small web service that sends mail: it takes orders as JSON, and
// confirms each with a mail that has the order as an attachment.
//
//	POST /orders   {"name": "Anna", "email": "anna@example.net", "items": [{"name": "coffee", "count": 2}]}
//	GET /healthz   200 when the mail server is there, trusted and takes the credentials
//	GET /metrics   figures of the mail client for Prometheus
//
// What it answers to an order depends on what became of the mail; see service.go. On SIGTERM it
// finishes the orders that it has begun. Its tests show how to test a service that sends mail.
//
// Without SUBMISSION_URL it sends to a fake server in its own process, and logs what arrives there:
//
//	go run ./examples/webservice
//	curl -d '{"name": "Anna", "email": "anna@example.net", "items": [{"name": "coffee", "count": 2}]}' http://127.0.0.1:8080/orders
//
// With a real server:
//
//	export SUBMISSION_URL='smtps://shop:secret@mail.example.org?from=shop@example.org'
//	go run ./examples/webservice -listen :8080
package main

import (
	"context"
	"errors"
	"flag"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// grace is how long orders may take that were begun when the service is to end.
const grace = 30 * time.Second

func main() {
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal kills
	if err := run(ctx, os.Args[1:], os.Getenv("SUBMISSION_URL"), log); err != nil {
		log.Error("ended", "error", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, serverURL string, log *slog.Logger) error {
	flags := flag.NewFlagSet("webservice", flag.ContinueOnError)
	listen := flags.String("listen", "127.0.0.1:8080", "`address` to listen on")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if serverURL == "" {
		demo := startDemo(log)
		defer demo.stop()
		serverURL = demo.url
	}
	s, err := newService(serverURL, log)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", *listen)
	if err != nil {
		return err
	}
	log.Info("listening", "address", l.Addr())
	return s.serve(ctx, l)
}

// serve serves until ctx is done, and ends then: first the orders come to their end, then the
// sessions with the mail server.
func (s *service) serve(ctx context.Context, l net.Listener) error {
	server := &http.Server{Handler: s.handler(), ReadTimeout: 30 * time.Second, IdleTimeout: time.Minute}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(l) }()
	select {
	case err := <-failed:
		s.client.Close()
		return err
	case <-ctx.Done():
	}
	deadline, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	return errors.Join(server.Shutdown(deadline), s.client.Shutdown(deadline))
}
