package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/fe022423/submission/smtptest"
)

// demonstrate connects to a fake server, whose certificate is from a CA of its own.
func demonstrate(ctx context.Context, out io.Writer) error {
	srv := smtptest.NewServer(nil)
	defer srv.Close()
	folder, err := os.MkdirTemp("", "privateca")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	file := filepath.Join(folder, "company-ca.pem")
	if err := os.WriteFile(file, srv.CertificatePEM(), 0o600); err != nil {
		return err
	}
	bare, pin, _ := strings.Cut(srv.URL(), "&pin=")
	for _, way := range []struct{ name, url string }{
		{"with the CAs of the system", bare},
		{"with the CA in a file", bare + "&ca=" + file},
		{"with the pin", bare + "&pin=" + pin},
		{"with the pin of another server", bare + "&pin=sha256:" + strings.Repeat("0", 64)},
	} {
		fmt.Fprintf(out, "\n== %s\n", way.name)
		if err := connect(ctx, way.url, out); err != nil {
			fmt.Fprintln(out, err)
		}
	}
	fmt.Fprintf(out, "\n== the pin of the certificate in the file\n")
	return printPin(file, out)
}
