// Command retry sends a message, and sends it again a little later when that may help: a
// server that restarts, one that is greylisting, a mailbox that is locked. Each attempt reads
// the message from its beginning, with a reader of its own. Only those who do not have the
// message get it again, and it is never sent again where that could deliver it twice.
//
// It is for minutes, within one process. What must survive a restart of the program belongs
// into a queue on disk, which asks SendError.Remaining for whom it is to try again.
//
// Without SUBMISSION_URL it sends to a fake server in its own process, which refuses the first
// attempts. To send a file to all of its To, Cc and Bcc through a real server:
//
//	export SUBMISSION_URL='smtps://me:secret@mail.example.org'
//	go run ./examples/retry -attempts 5 -wait 30s message.eml
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"time"

	"github.com/fe022423/submission"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt) // which ends a wait, too
	err := run(ctx, os.Args[1:], os.Getenv("SUBMISSION_URL"), os.Stdout)
	if stop(); err != nil {
		fmt.Fprintln(os.Stderr, "retry:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, serverURL string, out io.Writer) error {
	flags := flag.NewFlagSet("retry", flag.ContinueOnError)
	attempts := flags.Int("attempts", 3, "how often to try in all")
	wait := flags.Duration("wait", time.Second, "how long to wait after the first attempt; twice as long after each further one")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if serverURL == "" {
		return demonstrate(ctx, args, out)
	}
	if flags.NArg() != 1 {
		return errors.New("usage: retry [-attempts number] [-wait time] message")
	}
	open := func() (io.ReadCloser, error) { return openMessage(flags.Arg(0)) }
	envelope, err := envelopeOf(flags.Arg(0))
	if err != nil {
		return err
	}
	envelope.Partial = true // whoever is accepted has it after the first attempt
	addr, options, err := submission.ParseURL(serverURL)
	if err != nil {
		return err
	}
	client, err := submission.New(addr, options)
	if err != nil {
		return err
	}
	defer client.Close()

	retry := submission.Retry{Attempts: *attempts, Backoff: func(attempt int, err *submission.SendError) time.Duration {
		pause := *wait << min(attempt-1, 10) // no more than a thousand times as long
		fmt.Fprintf(out, "attempt %d: %v\n  once more in %v\n", attempt, err, pause)
		return pause
	}}
	result, err := retry.Send(ctx, client, envelope, open)
	var recipients []submission.RecipientResult // over all attempts
	if failed := (*submission.SendError)(nil); errors.As(err, &failed) {
		recipients = failed.Recipients
	} else {
		recipients = result.Recipients
	}
	for _, r := range recipients {
		fmt.Fprintf(out, "%s: %v, %v\n", r.Addr, r.Status, r.Reply)
	}
	return err
}
