// Command multipart sends a mail with a text, the same in HTML, and an attachment, composed
// with nothing but the standard library. The attachment streams: it is never in memory as a
// whole, and if reading it fails nobody gets half a mail.
//
// Without SUBMISSION_URL it sends to a fake server in its own process, and prints what
// arrived. To send a file through a real server:
//
//	export SUBMISSION_URL='smtps://me:secret@mail.example.org?from=me@example.org'
//	go run ./examples/multipart you@example.net report.pdf
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/mail"
	"os"
	"path/filepath"

	"github.com/fe022423/submission"
)

func main() {
	if err := run(context.Background(), os.Args[1:], os.Getenv("SUBMISSION_URL"), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "multipart:", err)
		os.Exit(1)
	}
}

// run sends the file args[1] to the address args[0] through the server of a URL.
func run(ctx context.Context, args []string, serverURL string, out io.Writer) error {
	if serverURL == "" {
		return demonstrate(ctx, out)
	}
	if len(args) != 2 {
		return errors.New("usage: multipart recipient file")
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
	name := filepath.Base(args[1])
	l := &letter{
		From: from, To: to, Subject: "Your file " + name,
		Text:     "Hello,\n\nhere is the file that you asked for.\n",
		HTML:     "<p>Hello,</p>\n<p>here is the <b>file</b> that you asked for.</p>\n",
		FileName: name, File: file,
	}
	envelope := submission.Envelope{From: from.Address, To: submission.ToAddresses(to)}
	result, err := client.SendFunc(ctx, envelope, l.writeTo)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "The server took %d bytes: %v\n", result.Bytes, result.Reply)
	return nil
}
