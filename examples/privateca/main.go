// Command privateca connects to a server whose certificate comes from a private CA, or from
// nobody but itself. There are two ways to trust it. With the CA in a file everything is
// checked as usual: chain, name and dates. With the pin of the server's key nothing else
// counts: no CA, no name, no date, so a certificate that has expired will do as long as its
// key is the same. The check is never turned off.
//
//	SUBMISSION_URL='smtps://mail.example.org?ca=/etc/ssl/company-ca.pem' go run ./examples/privateca
//	SUBMISSION_URL='smtps://mail.example.org?pin=sha256:...' go run ./examples/privateca
//	go run ./examples/privateca pin server.pem
//
// The last one prints the pin of the first certificate in a file, which is to be the server's own. Without SUBMISSION_URL the program
// does all of this with a fake server in its own process.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/fe022423/submission"
)

func main() {
	if err := run(context.Background(), os.Args[1:], os.Getenv("SUBMISSION_URL"), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "privateca:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, serverURL string, out io.Writer) error {
	switch {
	case len(args) == 2 && args[0] == "pin":
		return printPin(args[1], out)
	case len(args) > 0:
		return errors.New("usage: privateca [pin certificate.pem]")
	case serverURL == "":
		return demonstrate(ctx, out)
	}
	return connect(ctx, serverURL, out)
}

// printPin prints the pin of the first certificate in a file, as a URL has it.
func printPin(file string, out io.Writer) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "CERTIFICATE" {
			cert, err := x509.ParseCertificate(block.Bytes)
			if err == nil {
				fmt.Fprintf(out, "pin=sha256:%x\n", submission.KeyPin(cert))
			}
			return err
		}
	}
	return fmt.Errorf("%s: no certificate in PEM", file)
}

// connect opens a session and prints whom it is with.
func connect(ctx context.Context, serverURL string, out io.Writer) error {
	addr, options, err := submission.ParseURL(serverURL)
	if err != nil {
		return err
	}
	client, err := submission.New(addr, options)
	if err != nil {
		return err
	}
	defer client.Close()
	session, err := client.Dial(ctx)
	if untrusted := (*tls.CertificateVerificationError)(nil); errors.As(err, &untrusted) {
		fmt.Fprintf(out, "The server showed a certificate with pin=sha256:%x\nTrust it only after its owner has told you the same.\n",
			submission.KeyPin(untrusted.UnverifiedCertificates[0]))
	}
	if err != nil {
		return err
	}
	defer session.Close()
	state, ok := session.TLS()
	if !ok {
		return errors.New("the connection has no TLS")
	}
	cert := state.PeerCertificates[0]
	fmt.Fprintf(out, "Trusted: %s, certificate of %v by %v, until %s\n", tls.VersionName(state.Version), cert.Subject, cert.Issuer, cert.NotAfter.Format(time.DateOnly))
	return nil
}
