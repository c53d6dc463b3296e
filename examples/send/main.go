// Command send submits one message and says what became of it.
//
// Without flags it starts a fake server in its own process, submits a small
// message to it, and prints the session and what arrived. With -addr it sends a
// file or standard input to a real server:
//
//	SUBMISSION_PASSWORD=... send -addr mail.example.org -user me -from me@example.org -to you@example.net <message.eml
//
// The exit status tells what became of the message: 0 sent to everyone, 1 not sent,
// 2 wrong usage, 3 sent to some, 4 unknown, 75 not sent but worth another try.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"

	"github.com/fe022423/submission"
)

const (
	exitNotSent   = 1
	exitUsage     = 2
	exitPartly    = 3
	exitUnknown   = 4
	exitTemporary = 75 // EX_TEMPFAIL of sysexits.h
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	status := run(ctx)
	stop()
	os.Exit(status)
}

func run(ctx context.Context) int {
	job, err := parseFlags(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "send:", err)
		return exitUsage
	}
	defer job.close()
	client, err := submission.New(job.addr, &job.options)
	if err != nil {
		fmt.Fprintln(os.Stderr, "send:", err)
		return exitUsage
	}
	result, err := client.Send(ctx, job.envelope, job.message)
	client.Close()
	if result != nil {
		fmt.Printf("\nThe server took %d octets: %v\n", result.Bytes, result.Reply)
	}
	if err == nil {
		job.showArrived()
		return 0
	}
	return explain(err)
}

// explain prints what failed and returns the exit status for it.
func explain(err error) int {
	fmt.Fprintln(os.Stderr, "send:", err)
	var failed *submission.SendError
	if !errors.As(err, &failed) {
		return exitNotSent
	}
	for _, r := range failed.Recipients {
		fmt.Fprintf(os.Stderr, "send: %s: %v, %v\n", r.Addr, r.Status, r.Reply)
	}
	switch {
	case failed.Outcome == submission.PartlySent:
		return exitPartly
	case failed.Outcome == submission.Unknown:
		fmt.Fprintln(os.Stderr, "send: the server may or may not have the message: look before sending it again")
		return exitUnknown
	case failed.Temporary():
		fmt.Fprintln(os.Stderr, "send: trying again later may help")
		return exitTemporary
	}
	return exitNotSent
}
