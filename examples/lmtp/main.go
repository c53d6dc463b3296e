// Command lmtp delivers a message into mailboxes, as the last server on its way does: over
// LMTP (RFC 2033), through a Unix socket. The server says for each mailbox by itself what
// became of the message, so one may have it and another one not. For each of them the program
// says what a mail server does next: nothing, another try later, or a report to the sender.
//
// Without SUBMISSION_URL it delivers to a fake server in its own process. To deliver to a real
// one, such as Dovecot or Cyrus, name its socket, and give the message, the sender, "<>" for
// none, and the mailboxes:
//
//	SUBMISSION_URL=lmtp:///run/dovecot/lmtp go run ./examples/lmtp message.eml me@example.org anna@example.net bea@example.net
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/fe022423/submission"
)

func main() {
	if err := run(context.Background(), os.Args[1:], os.Getenv("SUBMISSION_URL"), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "lmtp:", err)
		os.Exit(1)
	}
}

// run delivers the file args[0] from args[1] into the mailboxes of the other arguments. The
// error is nil when all of them have it.
func run(ctx context.Context, args []string, serverURL string, out io.Writer) error {
	if serverURL == "" {
		return demonstrate(ctx, out)
	}
	if len(args) < 3 {
		return errors.New("usage: lmtp message sender mailbox [mailbox]")
	}
	message, err := os.Open(args[0])
	if err != nil {
		return err
	}
	defer message.Close()
	addr, options, err := submission.ParseURL(serverURL)
	if err != nil {
		return err
	}
	if !options.LMTP {
		return errors.New("SUBMISSION_URL is not one of LMTP: lmtp:///path or lmtp://host")
	}
	client, err := submission.New(addr, options)
	if err != nil {
		return err
	}
	defer client.Close()

	envelope := submission.Envelope{
		From:    args[1],
		To:      submission.To(args[2:]...),
		Partial: true, // a mailbox that does not exist is no reason to withhold the message from others
	}
	result, err := client.Send(ctx, envelope, message)
	var failed *submission.SendError
	if !errors.As(err, &failed) {
		report(out, result.Recipients, nil)
		return nil
	}
	rest, _ := failed.Remaining(envelope)
	report(out, failed.Recipients, rest.To)
	return err
}

// report prints what to do about each mailbox. later are those that are worth another try.
func report(out io.Writer, mailboxes []submission.RecipientResult, later []submission.Recipient) {
	for _, r := range mailboxes {
		next := "report to the sender"
		switch {
		case r.Status == submission.RecipientSent:
			next = "delivered"
		case r.Status == submission.RecipientUncertain: // the connection was lost before the server's answer
			next = "may have it; deliver it again if two copies are better than none"
		case slices.ContainsFunc(later, func(to submission.Recipient) bool { return to.Addr == r.Addr }):
			next = "keep it in the queue"
		}
		fmt.Fprintf(out, "%s: %s: %v\n", r.Addr, next, r.Reply)
	}
}
