package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync/atomic"

	"github.com/fe022423/submission/smtptest"
)

// behaviour is what the fake server does with mail.
type behaviour struct {
	Name, Label string
	hook        smtptest.Hook
}

var fakeBehaviours = []behaviour{
	{"take", "takes mail: it becomes sent", nil},
	{"later", "says later (451): it becomes deferred", smtptest.On("RCPT", "", "451 4.7.1 greylisted, come back in five minutes")},
	{"refuse", "refuses the recipient (550): it becomes failed", smtptest.On("RCPT", "", "550 5.1.1 no such user here")},
	{"hang-up", "hangs up before its verdict: it becomes held", hangUp},
}

func behaviours() (names []string) {
	for _, b := range fakeBehaviours {
		names = append(names, b.Name)
	}
	return names
}

// hangUp reads the whole message and says nothing of it: nobody knows whether it was accepted.
func hangUp(c smtptest.Command) *smtptest.Answer {
	if c.Verb != "MESSAGE" {
		return nil
	}
	return &smtptest.Answer{Close: true}
}

// fakeServer is a mail server for a service without a real one. It logs what arrives.
type fakeServer struct {
	srv   *smtptest.Server
	now   atomic.Pointer[behaviour]
	ended chan struct{}
}

// startFake starts it with the behaviour of this name; "" is the first one.
func startFake(name string, log *slog.Logger) (*fakeServer, error) {
	if name == "" {
		name = fakeBehaviours[0].Name
	}
	f := &fakeServer{
		srv:   smtptest.NewServer(&smtptest.Config{Accounts: map[string]string{"shop": "a secret"}}),
		ended: make(chan struct{}),
	}
	go func() {
		defer close(f.ended)
		for {
			m, err := f.srv.Next(context.Background())
			if err != nil { // the server is closed
				return
			}
			log.Info("arrived", "to", m.To, "bytes", len(m.Data))
		}
	}()
	if err := f.set(name); err != nil {
		f.stop()
		return nil, err
	}
	return f, nil
}

func (f *fakeServer) url() string { return f.srv.URL() + "&from=shop@example.org" }

func (f *fakeServer) stop() {
	f.srv.Close()
	<-f.ended
}

func (f *fakeServer) set(name string) error {
	i := slices.IndexFunc(fakeBehaviours, func(b behaviour) bool { return b.Name == name })
	if i < 0 {
		return fmt.Errorf("the fake server cannot %q", name)
	}
	f.srv.SetHook(fakeBehaviours[i].hook)
	f.now.Store(&fakeBehaviours[i])
	return nil
}

// setFake answers the form that tells the fake server what to do.
func (s *service) setFake(w http.ResponseWriter, r *http.Request) {
	if err := s.fake.set(r.PostFormValue("behaviour")); err != nil {
		s.writeQueue(w, r, http.StatusBadRequest, err.Error())
		return
	}
	http.Redirect(w, r, "/?done=fake", http.StatusSeeOther)
}
