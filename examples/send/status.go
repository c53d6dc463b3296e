package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/fe022423/submission"
)

// The exit statuses, besides 0.
const (
	exitNotSent   = 1
	exitUsage     = 2
	exitPartly    = 3
	exitUnknown   = 4
	exitTemporary = 75 // EX_TEMPFAIL of sysexits.h
)

// misused prints what is wrong with the flags or the message.
func misused(err error) int {
	fmt.Fprintln(os.Stderr, "send:", err)
	return exitUsage
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
