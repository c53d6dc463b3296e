package draw

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/fe022423/submission"
)

// cell is what became of a message, and of its session.
type cell struct {
	outcome   outcome
	temporary bool // sending it again later may help
	session   afterwards
}

type outcome uint8

const (
	impossible outcome = iota // the fault cannot happen at the stage
	sent
	notSent
	unknown
)

func (o outcome) String() string { return [...]string{"–", "sent", "not sent", "unknown"}[o] }

// afterwards is what the client does with the session after the fault.
type afterwards uint8

const (
	noSession afterwards = iota
	usable               // it took another message
	quits                // the client said QUIT, and closed
	closes               // the client closed, and said nothing more
)

func (a afterwards) String() string {
	return [...]string{"no session", "usable", "QUIT", "closed"}[a]
}

// matrix records a cell for each stage and fault.
func matrix(t *testing.T) [][]cell {
	rows := make([][]cell, len(stages))
	for i := range stages {
		s := &stages[i]
		rows[i] = make([]cell, len(faults))
		for fault := range faults {
			if slices.Contains(s.none, fault) {
				continue
			}
			t.Run(s.name+"/"+faults[fault].name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					c := overSession(t, newRig(s, fault))
					if pooled := overClient(t, newRig(s, fault)); c.outcome != pooled.outcome || c.temporary != pooled.temporary {
						t.Errorf("over a Session %s, over a Client %s", c.letters(), pooled.letters())
					}
					rows[i][fault] = c
				})
			})
		}
	}
	return rows
}

// overClient sends a message as the first of a Client.
func overClient(t *testing.T, r *rig) cell {
	defer r.srv.Close()
	c := r.client(t)
	_, err := c.Send(context.Background(), envelope, bulk())
	c.Close()
	return r.verdict(t, err)
}

// overSession sends a message over a session of its own, and another one if it can.
func overSession(t *testing.T, r *rig) (c cell) {
	defer r.srv.Close()
	s, err := r.client(t).Dial(context.Background())
	if err != nil {
		c = cell{outcome: notSent, temporary: err.(interface{ Temporary() bool }).Temporary(), session: closes}
	} else {
		_, err = s.Send(context.Background(), envelope, bulk())
		c = r.verdict(t, err)
		c.session = closes
		if s.Usable() && r.stage.verb != "QUIT" {
			c.session = usable
			if _, err := s.Send(context.Background(), envelope, bulk()); err != nil {
				t.Errorf("the next message: %v", err)
			}
		}
		s.Close()
	}
	synctest.Wait()
	switch {
	case r.conn == nil:
		c.session = noSession
	case !r.conn.closed.Load():
		t.Error("the connection is still open")
	case c.session == closes && r.quit.Load() && r.stage.verb != "QUIT":
		c.session = quits
	}
	if n := r.srv.Sessions(); n > 1 {
		t.Errorf("%d sessions", n)
	}
	if r.stage.verb != "" && r.seen.Load() < max(1, r.stage.nth) {
		t.Errorf("the fault was not met: %d times %s", r.seen.Load(), r.stage.verb)
	}
	return c
}

var envelope = submission.Envelope{From: sender, To: submission.To(recipients[0])}

func bulk() *strings.Reader {
	return strings.NewReader(strings.Repeat("a line of the message\r\n", 3*chunk/23))
}

func (r *rig) client(t *testing.T) *submission.Client {
	c, err := submission.New(host, &r.options)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// verdict is what the error of the first send says. It must not contradict what the server
// knows.
func (r *rig) verdict(t *testing.T, err error) cell {
	var failed *submission.SendError
	c := cell{outcome: sent}
	switch {
	case errors.As(err, &failed) && failed.Outcome == submission.NotSent:
		c.outcome, c.temporary = notSent, failed.Temporary()
	case errors.As(err, &failed) && failed.Outcome == submission.Unknown:
		c.outcome = unknown
		if failed.Temporary() {
			t.Error("unknown, and to be sent again")
		}
	case err != nil:
		t.Errorf("%v", err)
	}
	if accepted := len(r.srv.Messages()); c.outcome != unknown && (accepted == 1) != (c.outcome == sent) {
		t.Errorf("%v, and the server accepted %d", c.outcome, accepted)
	}
	return c
}
