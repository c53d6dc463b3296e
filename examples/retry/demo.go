package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/fe022423/submission/smtptest"
)

const demoMessage = `From: Shop <shop@example.org>
To: anna@example.net, bea@example.net
Bcc: archive@example.org
Subject: Your order
Date: Wed, 25 Nov 2026 12:00:00 +0000
Message-ID: <order-1@example.org>

It is on its way.
`

// demonstrate sends to a fake server that restarts at first, and where a mailbox is locked
// for a while. args are flags.
func demonstrate(ctx context.Context, args []string, out io.Writer) error {
	srv := smtptest.NewServer(&smtptest.Config{Hook: smtptest.First(
		smtptest.Times(1, smtptest.On("CONNECT", "", "421 4.3.2 restarting")),
		smtptest.Times(1, smtptest.On("RCPT", "bea@example.net", "450 4.2.1 the mailbox is locked")),
	)})
	defer srv.Close()
	folder, err := os.MkdirTemp("", "retry")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	file := filepath.Join(folder, "message.eml")
	if err := os.WriteFile(file, []byte(demoMessage), 0o600); err != nil {
		return err
	}
	err = run(ctx, append(args[:len(args):len(args)], file), srv.URL(), out)
	for _, m := range srv.Messages() {
		fmt.Fprintln(out, "The server has a message for", m.To)
	}
	return err
}
