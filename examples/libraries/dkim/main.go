// Command dkim signs a message (DKIM, RFC 6376) with github.com/emersion/go-msgauth, and sends it to
// all of its To, Cc and Bcc. A signature covers bytes, so the order of the steps counts: take Bcc
// out, make line endings CRLF, sign, send. This library changes nothing after that. Most providers sign
// what you submit themselves; sign when yours does not.
//
// Without SUBMISSION_URL it makes a key, sends to a fake server in its own process, and prints the
// record for the DNS and what arrived. With a real server, in the folder of this module:
//
//	openssl genpkey -algorithm rsa -pkeyopt rsa_keygen_bits:2048 -out key.pem
//	go run ./dkim -record -domain example.org -selector 2026 -key key.pem
//	export SUBMISSION_URL='smtps://me:secret@mail.example.org'
//	go run ./dkim -domain example.org -selector 2026 -key key.pem message.eml
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/emersion/go-msgauth/dkim"
	"github.com/fe022423/submission"
)

func main() {
	if err := run(context.Background(), os.Args[1:], os.Getenv("SUBMISSION_URL"), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "dkim:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, serverURL string, out io.Writer) error {
	flags := flag.NewFlagSet("dkim", flag.ContinueOnError)
	domain := flags.String("domain", "", "the `domain` that signs")
	selector := flags.String("selector", "", "the `name` of the key in the DNS of the domain")
	keyFile := flags.String("key", "", "`file` with the private key, RSA or Ed25519 in PKCS #8")
	record := flags.Bool("record", false, "print the TXT record of the key, and send nothing")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if serverURL == "" && len(args) == 0 {
		return demonstrate(ctx, out)
	}
	if *domain == "" || *selector == "" || *keyFile == "" || !*record && (flags.NArg() != 1 || serverURL == "") {
		return errors.New("usage: dkim -domain domain -selector name -key file message, with SUBMISSION_URL; see -help")
	}
	key, err := readKey(*keyFile)
	if err != nil {
		return err
	}
	if *record {
		return printRecord(out, *selector+"._domainkey."+*domain, key)
	}
	file, err := os.Open(flags.Arg(0))
	if err != nil {
		return err
	}
	defer file.Close()
	envelope, message, err := submission.ReadEnvelope(file) // whose reader leaves Bcc out
	if err != nil {
		return err
	}
	signed, err := sign(message, &dkim.SignOptions{Domain: *domain, Selector: *selector, Signer: key})
	if err != nil {
		return err
	}
	addr, options, err := submission.ParseURL(serverURL)
	if err != nil {
		return err
	}
	client, err := submission.New(addr, options)
	if err != nil {
		return err
	}
	defer client.Close()
	result, err := client.Send(ctx, envelope, bytes.NewReader(signed))
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "The server took %d bytes: %v\n", result.Bytes, result.Reply)
	return nil
}
