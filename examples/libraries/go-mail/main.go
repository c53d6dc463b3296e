// Command go-mail sends a mail that github.com/wneessen/go-mail composed: text, HTML and an
// attachment. go-mail makes the message and knows whom it is for; this library sends it and says
// what became of it. submission.EnvelopeOf reads sender and recipients, those of Bcc included, and
// the message streams into SendFunc.
//
// Without SUBMISSION_URL it sends to a fake server in its own process. To send a file through a
// real server, in the folder of this module:
//
//	export SUBMISSION_URL='smtps://me:secret@mail.example.org?from=me@example.org'
//	go run ./go-mail you@example.net report.pdf
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/fe022423/submission"
	"github.com/wneessen/go-mail"
)

func main() {
	if err := run(context.Background(), os.Args[1:], os.Getenv("SUBMISSION_URL"), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "go-mail:", err)
		os.Exit(1)
	}
}

// run sends the file args[1] to the address args[0], and a copy to the sender.
func run(ctx context.Context, args []string, serverURL string, out io.Writer) error {
	if serverURL == "" {
		return demonstrate(ctx, out)
	}
	if len(args) != 2 {
		return errors.New("usage: go-mail recipient file")
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

	msg, err := compose(options.From, args[0], args[1])
	if err != nil {
		return err
	}
	envelope, err := submission.EnvelopeOf(msg)
	if err != nil {
		return err
	}
	result, err := client.SendFunc(ctx, envelope, func(w io.Writer) error {
		_, err := msg.WriteTo(w)
		return err
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "The server took %d bytes: %v\n", result.Bytes, result.Reply)
	return nil
}

func compose(from, to, file string) (*mail.Msg, error) {
	if _, err := os.Stat(file); err != nil {
		return nil, err // which AttachFile would leave to WriteTo
	}
	msg := mail.NewMsg()
	err := errors.Join(msg.From(from), msg.To(to), msg.Bcc(from))
	msg.Subject("Ihre Datei für März")
	msg.SetDate()
	msg.SetMessageID()
	msg.SetBodyString(mail.TypeTextPlain, "Hello,\n\nhere is the file that you asked for.\n")
	msg.AddAlternativeString(mail.TypeTextHTML, "<p>Hello,</p>\n<p>here is the <b>file</b> that you asked for.</p>\n")
	msg.AttachFile(file)
	return msg, err
}
