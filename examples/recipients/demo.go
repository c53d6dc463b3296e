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

// demoList are the recipients of the demonstration, of whom two do not get the message.
const demoList = `anna@example.net
bea@example.net
gone@example.net
carl@example.com
full@example.com
dora@example.com
emil@example.org
`

const demoMessage = `From: News <news@example.org>
To: readers:;
Subject: News of this week
Date: Wed, 25 Nov 2026 12:00:00 +0000
Message-ID: <news-48@example.org>

There is little to tell.
`

// demonstrate sends to a fake server that takes three recipients at once.
func demonstrate(ctx context.Context, out io.Writer) error {
	srv := smtptest.NewServer(&smtptest.Config{
		Extensions: append(smtptest.DefaultExtensions(), "LIMITS RCPTMAX=3"),
		Hook: smtptest.First(
			smtptest.On("RCPT", "gone@example.net", "550 5.1.1 no such user"),
			smtptest.On("RCPT", "full@example.com", "452 4.2.2 the mailbox is full"),
		),
	})
	defer srv.Close()
	folder, err := os.MkdirTemp("", "recipients")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	list, message := filepath.Join(folder, "list.txt"), filepath.Join(folder, "message.eml")
	err = errors.Join(os.WriteFile(list, []byte(demoList), 0o600), os.WriteFile(message, []byte(demoMessage), 0o600))
	if err != nil {
		return err
	}
	err = run(ctx, []string{list, message}, srv.URL()+"&from=news@example.org", out)
	if failed := (*submission.SendError)(nil); errors.As(err, &failed) && failed.Outcome == submission.PartlySent {
		err = nil // as it should be here
	}
	for _, m := range srv.Messages() {
		fmt.Fprintln(out, "The server has a message for", m.To)
	}
	return err
}
