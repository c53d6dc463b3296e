package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/mail"
	"time"

	"github.com/fe022423/submission"
)

const (
	maxBody    = 1 << 20
	sendTime   = time.Minute     // for a mail, waiting for a session included
	pingTime   = 5 * time.Second // for a probe: those who probe do not wait for long
	retryAfter = "60"            // seconds
)

// service is the web service. Its client is made once, and keeps sessions open.
type service struct {
	client *submission.Client
	from   *mail.Address
	log    *slog.Logger
}

// newService makes a service that sends through the server of a URL.
func newService(serverURL string, log *slog.Logger) (*service, error) {
	addr, options, err := submission.ParseURL(serverURL)
	if err != nil {
		return nil, err // which does not repeat the URL
	}
	from, err := mail.ParseAddress(options.From)
	if err != nil {
		return nil, errors.New("SUBMISSION_URL has no sender: it must end with ?from=shop@example.org")
	}
	options.Logger = log
	client, err := submission.New(addr, options)
	if err != nil {
		return nil, err
	}
	return &service{client, from, log}, nil
}

func (s *service) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /orders", s.takeOrder)
	mux.HandleFunc("GET /healthz", s.showHealth)
	mux.HandleFunc("GET /metrics", s.showMetrics)
	return mux
}

// answer is the body of every answer to an order.
type answer struct {
	MessageID string `json:"message_id,omitempty"`
	Error     string `json:"error,omitempty"`
	// MayBeSent says that nobody knows: to order again may bring a second mail.
	MayBeSent bool `json:"may_be_sent,omitempty"`
}

// takeOrder sends the mail that confirms an order.
func (s *service) takeOrder(w http.ResponseWriter, r *http.Request) {
	o, err := readOrder(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		reply(w, http.StatusBadRequest, answer{Error: err.Error()})
		return
	}
	l, err := newLetter(s.from, o)
	if err != nil {
		s.log.ErrorContext(r.Context(), "no letter", "error", err)
		reply(w, http.StatusInternalServerError, answer{Error: "the mail could not be made"})
		return
	}
	// A browser that goes away is no reason to give the mail up half way.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), sendTime)
	defer cancel()
	_, err = s.client.Send(ctx, submission.Envelope{To: submission.ToAddresses(o.to)}, l.reader())
	if err != nil {
		s.refuse(w, err)
		return
	}
	reply(w, http.StatusAccepted, answer{MessageID: l.messageID})
}

// refuse answers when a mail was not sent. Details are for the log: the words of the mail
// server are not for everyone.
func (s *service) refuse(w http.ResponseWriter, err error) {
	var (
		failed  *submission.SendError // every error of Send is one
		address *submission.AddressError
	)
	errors.As(err, &failed)
	switch {
	case failed.Outcome == submission.Unknown:
		reply(w, http.StatusBadGateway, answer{Error: "nobody knows whether the mail was sent", MayBeSent: true})
	case failed.Temporary():
		w.Header().Set("Retry-After", retryAfter)
		reply(w, http.StatusServiceUnavailable, answer{Error: "the mail was not sent: order again later"})
	case errors.As(err, &address):
		reply(w, http.StatusUnprocessableEntity, answer{Error: "this address takes no mail"})
	default: // nothing that the customer can mend
		reply(w, http.StatusBadGateway, answer{Error: "the mail was not sent"})
	}
	s.log.Error("order not confirmed", "outcome", failed.Outcome, "stage", failed.Stage, "error", err)
}

// showHealth is for a readiness probe. It costs the mail server a NOOP where a session is open.
func (s *service) showHealth(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), pingTime)
	defer cancel()
	if err := s.client.Ping(ctx); err != nil {
		s.log.Warn("not ready", "error", err)
		http.Error(w, "the mail server is not available", http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "ok")
}

func (s *service) showMetrics(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	io.WriteString(w, metrics(s.client.Stats()))
}

func reply(w http.ResponseWriter, status int, a answer) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(a) // the status is out: an error has nowhere to go
}
