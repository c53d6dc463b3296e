package smtptest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// maxLastSaid is how many lines of the transcript an error quotes: a flight of commands with
// its replies.
const maxLastSaid = 8

// errServerClosed ends the waiting of Next and Wait.
var errServerClosed = errors.New("the server is closed")

// Next returns the next message that it has not returned before, in the order in which they
// arrived, and waits for it until ctx ends. Each message goes to one call, if several wait
// to the one that came first. A message that has arrived is returned even if ctx has
// ended or the server is closed; without one, Next of a closed server returns an error at
// once. While the server is stopped it waits.
//
// The error says what came and what was last said; when ctx ended, it wraps ctx.Err().
// The message is a copy.
func (s *Server) Next(ctx context.Context) (Message, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.handedOut < len(s.messages) {
		m := s.messages[s.handedOut].copy()
		s.handedOut++
		return m, nil
	}
	if s.closed {
		return Message{}, s.noNext(errServerClosed)
	}
	mine := make(chan Message, 1)
	s.waiting = append(s.waiting, mine)

	s.mu.Unlock()
	var m Message
	var ok bool
	select {
	case m, ok = <-mine:
	case <-ctx.Done():
	}
	s.mu.Lock()

	if i := slices.Index(s.waiting, mine); i >= 0 {
		s.waiting = slices.Delete(s.waiting, i, i+1)
		return Message{}, s.noNext(ctx.Err())
	}
	if !ok { // it came as ctx ended, or the server is closed
		if m, ok = <-mine; !ok {
			return Message{}, s.noNext(errServerClosed)
		}
	}
	return m, nil
}

// Wait waits until n messages have arrived, counted from the start or from the last Reset,
// and returns copies of all that have arrived, as Messages does: n or more. If n is 0 or
// negative it does not wait. It does not matter which messages Next has returned.
//
// When ctx ends first, or the server is closed, Wait returns what has arrived and an
// error, which says what was last said and wraps ctx.Err(). While the server is stopped it
// waits.
func (s *Server) Wait(ctx context.Context, n int) ([]Message, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.messages) < n {
		cause := ctx.Err()
		if s.closed {
			cause = errServerClosed
		}
		if cause != nil {
			what := fmt.Sprintf("%d of %d messages", len(s.messages), n)
			return s.copies(), s.missed(what, cause, "")
		}
		if s.arrival == nil {
			s.arrival = make(chan struct{})
		}
		arrival := s.arrival
		s.mu.Unlock()
		select {
		case <-arrival:
		case <-ctx.Done():
		}
		s.mu.Lock()
	}
	return s.copies(), nil
}

// wake lets those look who wait for a number of messages. It needs mu.
func (s *Server) wake() {
	if s.arrival != nil {
		close(s.arrival)
		s.arrival = nil
	}
}

// wakeAll ends all waiting, after the server was closed. It needs mu.
func (s *Server) wakeAll() {
	for _, w := range s.waiting {
		close(w)
	}
	s.waiting = nil
	s.wake()
}

// noNext is the error of Next. It needs mu.
func (s *Server) noNext(cause error) error {
	came := "none has come"
	switch n := len(s.messages); {
	case n == 1:
		came = "1 has come and was handed out"
	case n > 1:
		came = strconv.Itoa(n) + " have come and were handed out"
	}
	return s.missed("no new message", cause, came)
}

// missed is the error of who waited in vain. It needs mu.
func (s *Server) missed(what string, cause error, came string) error {
	text := ""
	if came != "" {
		text = "; " + came
	}
	if s.listener == nil && !s.closed {
		text += "; the server is stopped"
	}
	return fmt.Errorf("smtptest: %s: %w%s; %s", what, cause, text, s.lastSaid())
}

// lastSaid is the end of the transcript, in one line. It needs mu.
func (s *Server) lastSaid() string {
	switch {
	case s.sessions == 0:
		return "no session was opened"
	case len(s.transcript) == 0:
		return "nothing was said since Reset"
	}
	last := s.transcript[max(0, len(s.transcript)-maxLastSaid):]
	quoted := make([]string, len(last))
	for i, line := range last {
		if len(line) > maxReported {
			line = line[:maxReported] + "..."
		}
		quoted[i] = strconv.Quote(line)
	}
	return "last said: " + strings.Join(quoted, ", ")
}
