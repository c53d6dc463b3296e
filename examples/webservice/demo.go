package main

import (
	"context"
	"log/slog"

	"github.com/fe022423/submission/smtptest"
)

// demo is a fake mail server for a service without a real one.
type demo struct {
	url  string
	stop func()
}

// startDemo starts it, and logs what arrives.
func startDemo(log *slog.Logger) demo {
	srv := smtptest.NewServer(&smtptest.Config{Accounts: map[string]string{"shop": "a secret"}})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			m, err := srv.Next(context.Background())
			if err != nil { // the server is closed
				return
			}
			if got, err := m.Parse(); err == nil && len(got.Attachments) == 1 {
				log.Info("arrived", "to", m.To, "subject", got.Subject, "attachment", string(got.Attachments[0].Data))
			}
		}
	}()
	return demo{srv.URL() + "&from=shop@example.org", func() { srv.Close(); <-ended }}
}
