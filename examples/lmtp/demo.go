package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/fe022423/submission"
	"github.com/fe022423/submission/smtptest"
)

const demoMessage = `From: Shop <shop@example.org>
To: customers:;
Subject: Your order
Date: Wed, 25 Nov 2026 12:00:00 +0000
Message-ID: <order-1@example.org>

It is on its way.
`

// demonstrate delivers to a fake server with one full mailbox, and one that refuses.
func demonstrate(ctx context.Context, out io.Writer) error {
	srv := smtptest.NewServer(&smtptest.Config{
		LMTP: true, Network: "unix", TLS: smtptest.NoTLS,
		Hook: smtptest.First(
			smtptest.On("RCPT", "gone@example.net", "550 5.1.1 no such mailbox"),
			smtptest.On("MESSAGE", "full@example.net", "452 4.2.2 the mailbox is full"),
			smtptest.On("MESSAGE", "strict@example.net", "550 5.7.1 no mail from shops"),
		),
	})
	defer srv.Close()
	folder, err := os.MkdirTemp("", "lmtp")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	message := filepath.Join(folder, "message.eml")
	if err := os.WriteFile(message, []byte(demoMessage), 0o600); err != nil {
		return err
	}
	args := []string{message, "shop@example.org", "anna@example.net", "gone@example.net", "full@example.net", "strict@example.net", "bea@example.net"}
	err = run(ctx, args, srv.URL(), out)
	if failed := (*submission.SendError)(nil); errors.As(err, &failed) && failed.Outcome == submission.PartlySent {
		err = nil // as it should be here
	}
	for _, m := range srv.Messages() {
		fmt.Fprintln(out, "The server delivered to", m.To)
	}
	return err
}
