// Command outbox is a web service that confirms orders by mail and loses none of these mails: an
// order is answered once its mail is in a queue on disk (package outbox), and a worker in the
// same process sends it. A page lists the queue, and lets one retry, cancel or resolve.
//
//	POST /orders              email=anna@example.net, and order=17 and placed=2026-01-05T10:00:00Z if it is to be repeatable
//	GET  /                    the page: all that is not over, or ?show=held and so on
//	GET  /queue/ID            one message, its recipients, and what can be done
//	POST /queue/ID/ACTION     retry, cancel, was-sent, discard
//
// Without SUBMISSION_URL it sends to a fake server in its own process, which can be told on the
// page to refuse mail or to hang up, so that one sees what the queue makes of it:
//
//	go run .
//	curl -d email=anna@example.net http://127.0.0.1:8080/orders
//
// With a real server, and with a queue that is there again after a crash:
//
//	export SUBMISSION_URL='smtps://shop:secret@mail.example.org?from=shop@example.org'
//	go run . -dir /var/lib/shop/outbox
//
// The page has no login. It listens on this machine only; behind a proxy that asks for a
// password, -listen takes another address. On SIGTERM the service takes no further order,
// finishes the mails that it has begun, and closes the queue.
package main

import (
	"context"
	"errors"
	"flag"
	"log/slog"
	"net"
	"net/mail"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/fe022423/submission"
	"github.com/fe022423/submission/outbox"
	_ "github.com/fe022423/submission/outbox/embedded" // the server that keeps the queue in -dir
)

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
	flags := flag.NewFlagSet("outbox", flag.ContinueOnError)
	listen := flags.String("listen", "127.0.0.1:8080", "`address` to listen on; the page has no login")
	dir := flags.String("dir", "", "`directory` of the queue; without one it is forgotten at the end")
	behaviour := flags.String("fake", "", "what the fake server does: "+strings.Join(behaviours(), ", "))
	if err := flags.Parse(args); err != nil {
		return err
	}
	fake, err := startFakeUnless(serverURL, *behaviour, log)
	if err != nil {
		return err
	}
	if fake != nil {
		defer fake.stop()
		serverURL = fake.url()
	}
	if *dir == "" {
		if *dir, err = os.MkdirTemp("", "outbox"); err != nil {
			return err
		}
		defer os.RemoveAll(*dir)
		log.Info("the queue is forgotten at the end: keep it with -dir", "dir", *dir)
	}
	client, from, err := newClient(serverURL)
	if err != nil {
		return err
	}
	defer client.Close()
	queue, err := outbox.Open(ctx, &outbox.Options{Dir: *dir, Logger: log})
	if err != nil {
		return err
	}
	defer queue.Close() // after the worker: serve waits for it
	l, err := net.Listen("tcp", *listen)
	if err != nil {
		return err
	}
	log.Info("listening", "url", "http://"+l.Addr().String())
	s := &service{queue: queue, from: from, fake: fake, log: log, local: isLocal(l.Addr())}
	return s.serve(ctx, l, s.workOptions(client))
}

// startFakeUnless starts the fake server, unless there is a real one.
func startFakeUnless(serverURL, behaviour string, log *slog.Logger) (*fakeServer, error) {
	switch {
	case serverURL == "":
		return startFake(behaviour, log)
	case behaviour != "":
		return nil, errors.New("-fake is for the fake server, and SUBMISSION_URL is set")
	}
	return nil, nil
}

// newClient makes the client for the server of a URL, and returns the sender in it.
func newClient(serverURL string) (*submission.Client, *mail.Address, error) {
	addr, options, err := submission.ParseURL(serverURL)
	if err != nil {
		return nil, nil, err // which does not repeat the URL
	}
	from, err := mail.ParseAddress(options.From)
	if err != nil {
		return nil, nil, errors.New("SUBMISSION_URL has no sender: it must end with ?from=shop@example.org")
	}
	client, err := submission.New(addr, options)
	return client, from, err
}

func isLocal(a net.Addr) bool {
	tcp, ok := a.(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}
