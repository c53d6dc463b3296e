package main

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/mail"
	"strings"
	"time"

	"github.com/fe022423/submission"
	"github.com/fe022423/submission/outbox"
)

const (
	maxBody    = 64 << 10
	maxNumber  = 40
	retryAfter = "10" // seconds
)

// order is what a customer wants. Its number and time stay the same when it is sent again: with
// them its mail is the same, byte by byte, and the queue knows it.
type order struct {
	Number string
	Email  string
	Placed time.Time
}

func newOrder() order {
	return order{Number: rand.Text()[:10], Placed: time.Now().UTC().Truncate(time.Second)}
}

// readOrder reads an order from a form. Its errors may be shown to the customer.
func readOrder(r *http.Request) (order, error) {
	if err := r.ParseForm(); err != nil {
		return order{}, errors.New("not a form, or too long")
	}
	o := newOrder()
	number, placed := r.PostForm.Get("order"), r.PostForm.Get("placed")
	if number != "" || placed != "" {
		t, err := time.Parse(time.RFC3339, placed)
		if err != nil {
			return order{}, errors.New("an order with a number says when it was placed, as 2026-01-05T10:00:00Z")
		}
		o.Number, o.Placed = number, t
	}
	o.Email = strings.TrimSpace(r.PostForm.Get("email"))
	to, err := mail.ParseAddress(o.Email)
	switch {
	case err != nil || to.Address != o.Email: // with a name, a comment or brackets
		return order{}, errors.New("email is not a mail address")
	case o.Number == "" || len(o.Number) > maxNumber || strings.Trim(o.Number, numberRunes) != "":
		return order{}, fmt.Errorf("order is a number of up to %d letters, digits and dashes", maxNumber)
	}
	return o, nil
}

const numberRunes = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-"

// letter is the mail that confirms an order. Nothing in it comes from the clock or from chance.
func (o order) letter(from *mail.Address) []byte {
	var b bytes.Buffer
	domain := from.Address[strings.LastIndexByte(from.Address, '@')+1:]
	fmt.Fprintf(&b, "From: %v\r\nTo: %v\r\n", from, &mail.Address{Address: o.Email})
	fmt.Fprintf(&b, "Subject: %s\r\n", mime.QEncoding.Encode("utf-8", "Your order "+o.Number))
	fmt.Fprintf(&b, "Date: %s\r\nMessage-ID: <order-%s@%s>\r\n", o.Placed.Format(time.RFC1123Z), o.Number, domain)
	fmt.Fprintf(&b, "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nThank you for your order.\r\n")
	return b.Bytes()
}

// answer is the body of every answer to an order, but for a browser.
type answer struct {
	Order  string    `json:"order,omitempty"`
	Placed string    `json:"placed,omitempty"`
	ID     outbox.ID `json:"id,omitempty"`
	// Repeated says that the mail of this order was in the queue before. There is no second one.
	Repeated bool   `json:"repeated,omitempty"`
	Error    string `json:"error,omitempty"`
}

// takeOrder queues the mail that confirms an order, and answers once it is on disk.
func (s *service) takeOrder(w http.ResponseWriter, r *http.Request) {
	o, err := readOrder(r)
	if err != nil {
		s.answerOrder(w, r, http.StatusBadRequest, answer{Error: err.Error()})
		return
	}
	env := submission.Envelope{From: s.from.Address, To: submission.To(o.Email)}
	id, err := s.queue.Enqueue(r.Context(), env, bytes.NewReader(o.letter(s.from)), &outbox.Item{Key: "order " + o.Number})
	a := answer{Order: o.Number, Placed: o.Placed.Format(time.RFC3339), ID: id}
	var never *submission.SendError
	switch {
	case err == nil:
		s.answerOrder(w, r, http.StatusAccepted, a)
		return
	case errors.Is(err, outbox.ErrDuplicate): // no failure: the mail is there
		a.Repeated = true
		s.answerOrder(w, r, http.StatusOK, a)
		return
	case errors.Is(err, outbox.ErrConflict):
		a.Error = "another order has this number"
		s.answerOrder(w, r, http.StatusConflict, a)
	case errors.As(err, &never): // the envelope: it could not be sent anywhere
		a.Error = "this address takes no mail"
		s.answerOrder(w, r, http.StatusUnprocessableEntity, a)
	default: // perhaps stored, but for ErrFull: the same order again does no harm
		w.Header().Set("Retry-After", retryAfter)
		a.Error = "the mail is perhaps not queued: send the same order again, with order and placed"
		s.answerOrder(w, r, http.StatusServiceUnavailable, a)
	}
	s.log.ErrorContext(r.Context(), "order not queued", "order", o.Number, "error", err)
}

// answerOrder answers a program with JSON, and a browser with the page.
func (s *service) answerOrder(w http.ResponseWriter, r *http.Request, status int, a answer) {
	if strings.Contains(r.Header.Get("Accept"), "text/html") {
		switch {
		case a.Error != "":
			s.writeQueue(w, r, status, "The order was not taken: "+a.Error+".")
		case a.Repeated:
			http.Redirect(w, r, "/?done=repeated", http.StatusSeeOther)
		default:
			http.Redirect(w, r, "/?done=ordered", http.StatusSeeOther)
		}
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(a) // the status is out: an error has nowhere to go
}
