package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/fe022423/submission/smtptest"
)

const demoMessage = `From: Shop <shop@example.org>
To: Anna <anna@example.net>
Bcc: archive@example.org
Subject: Your order
Date: Wed, 25 Nov 2026 12:00:00 +0000
Message-ID: <order-1@example.org>

It is on its way.
`

// demonstrate signs with a key of its own, and sends to a fake server.
func demonstrate(ctx context.Context, out io.Writer) error {
	srv := smtptest.NewServer(nil)
	defer srv.Close()
	folder, err := os.MkdirTemp("", "dkim")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	keyFile, message := filepath.Join(folder, "key.pem"), filepath.Join(folder, "message.eml")
	err = errors.Join(
		os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600),
		os.WriteFile(message, []byte(demoMessage), 0o600),
	)
	if err != nil {
		return err
	}
	args := []string{"-domain", "example.org", "-selector", "2026", "-key", keyFile}
	if err := run(ctx, append([]string{"-record"}, args...), srv.URL(), out); err != nil {
		return err
	}
	if err := run(ctx, append(args, message), srv.URL(), out); err != nil {
		return err
	}
	for _, m := range srv.Messages() {
		fmt.Fprintf(out, "\nArrived for %v:\n\n%s", m.To, m.Data)
	}
	return nil
}
