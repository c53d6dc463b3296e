// Command send submits one message and says what became of it.
//
// Without flags, or with -quiet alone, it starts a fake server in its own process,
// submits a small message to it, and prints the session and what arrived. With -addr or
// SUBMISSION_URL it sends a file or standard input to a real server:
//
//	SUBMISSION_PASSWORD=... send -addr mail.example.org -user me -from me@example.org -to you@example.net <message.eml
//
//	SUBMISSION_URL='smtps://me:secret@mail.example.org?from=me@example.org' send -to you@example.net <message.eml
//
// With -lmtp the server is one that delivers into mailboxes, often at a Unix socket:
//
//	send -lmtp -addr unix:/run/dovecot/lmtp -from me@example.org -to you@example.org <message.eml
//
// With -t sender and recipients are those in the header section of the message.
//
// The exit status tells what became of the message: 0 sent to everyone, 1 not sent,
// 2 wrong usage, 3 sent to some, 4 unknown, 75 not sent but worth another try. An
// interrupt (Ctrl-C), SIGTERM and the end of -timeout stop it at once; the status is
// true then, too.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/fe022423/submission"
)

func main() {
	job, err := parseFlags(os.Args[1:], os.Getenv("SUBMISSION_URL"))
	if err != nil {
		os.Exit(misused(err))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal kills
	status := run(ctx, job)
	job.close()
	os.Exit(status)
}

func run(ctx context.Context, job *job) int {
	if job.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, job.timeout)
		defer cancel()
	}
	client, err := submission.New(job.addr, &job.options)
	if err != nil {
		return misused(err)
	}
	err = job.open(ctx)
	switch {
	case ctx.Err() != nil:
		fmt.Fprintln(os.Stderr, "send: nothing sent:", context.Cause(ctx))
		return exitTemporary
	case err != nil:
		return misused(err)
	}
	result, err := client.Send(ctx, job.envelope, job.message)
	closeUnless(ctx, client)
	if result != nil {
		fmt.Printf("\nThe server took %d octets: %v\n", result.Bytes, result.Reply)
	}
	if err == nil {
		job.showArrived()
		return 0
	}
	return explain(err)
}

// closeUnless closes the client, and stops waiting for the server's goodbye when ctx is
// done: the message is settled.
func closeUnless(ctx context.Context, client *submission.Client) {
	closed := make(chan struct{})
	go func() {
		client.Close()
		close(closed)
	}()
	select {
	case <-closed:
	case <-ctx.Done():
	}
}
