package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/fe022423/submission/smtptest"
)

// demonstrate sends a small file to a fake server, and prints what arrived.
func demonstrate(ctx context.Context, out io.Writer) error {
	srv := smtptest.NewServer(&smtptest.Config{Accounts: map[string]string{"shop": "a secret"}})
	defer srv.Close()
	folder, err := os.MkdirTemp("", "go-message")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	file := filepath.Join(folder, "invoice.csv")
	if err := os.WriteFile(file, []byte("item;price\ncoffee;4.50\n"), 0o600); err != nil {
		return err
	}
	if err := run(ctx, []string{"Anna <anna@example.net>", file}, srv.URL()+"&from=shop@example.org", out); err != nil {
		return err
	}
	m := srv.Messages()[0]
	arrived, err := m.Parse()
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "\n%s\nArrived for %v: %q, with text, HTML and %s of %d bytes\n",
		m.Data, m.To, arrived.Subject, arrived.Attachments[0].Name, len(arrived.Attachments[0].Data))
	return nil
}
