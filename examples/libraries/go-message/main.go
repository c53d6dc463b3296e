// Command go-message sends a mail that github.com/emersion/go-message writes as a stream: text,
// HTML and an attachment. Its writer is that of SendFunc, so the mail is never in memory as a whole;
// if reading the file fails, nobody gets half a mail.
//
// Without SUBMISSION_URL it sends to a fake server in its own process. To send a file through a
// real server, in the folder of this module:
//
//	export SUBMISSION_URL='smtps://me:secret@mail.example.org?from=me@example.org'
//	go run ./go-message you@example.net report.pdf
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/emersion/go-message/mail"
	"github.com/fe022423/submission"
)

func main() {
	if err := run(context.Background(), os.Args[1:], os.Getenv("SUBMISSION_URL"), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "go-message:", err)
		os.Exit(1)
	}
}

// run sends the file args[1] to the address args[0].
func run(ctx context.Context, args []string, serverURL string, out io.Writer) error {
	if serverURL == "" {
		return demonstrate(ctx, out)
	}
	if len(args) != 2 {
		return errors.New("usage: go-message recipient file")
	}
	to, err := mail.ParseAddress(args[0])
	if err != nil {
		return fmt.Errorf("recipient: %w", err)
	}
	addr, options, err := submission.ParseURL(serverURL)
	if err != nil {
		return err
	}
	from, err := mail.ParseAddress(options.From)
	if err != nil {
		return errors.New("SUBMISSION_URL has no sender: it must end with ?from=me@example.org")
	}
	client, err := submission.New(addr, options)
	if err != nil {
		return err
	}
	defer client.Close()

	file, err := os.Open(args[1])
	if err != nil {
		return err
	}
	defer file.Close()
	l := &letter{from: from, to: to, fileName: file.Name(), file: file}
	envelope := submission.Envelope{From: from.Address, To: submission.To(to.Address)}
	result, err := client.SendFunc(ctx, envelope, l.writeTo)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "The server took %d bytes: %v\n", result.Bytes, result.Reply)
	return nil
}
