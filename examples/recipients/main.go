// Command recipients sends one message to many recipients, and reports on each of them: who
// gets it, whom the server refused and with what words, and for whom another try later may
// help.
//
// Envelope.Partial is what it shows: the message goes to those whom the server accepts,
// although it refuses others. However many there are, it is one call: where the server takes
// fewer recipients at once, the message goes out several times.
//
// Without SUBMISSION_URL it sends to a fake server in its own process. To send through a real
// one, the list has an address on each line; the message is sent as it is:
//
//	export SUBMISSION_URL='smtps://me:secret@mail.example.org?from=me@example.org'
//	go run ./examples/recipients list.txt message.eml
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/fe022423/submission"
)

func main() {
	if err := run(context.Background(), os.Args[1:], os.Getenv("SUBMISSION_URL"), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "recipients:", err)
		os.Exit(1)
	}
}

// run sends the file args[1] to the addresses in the file args[0]. The error is nil when the
// message went to all of them.
func run(ctx context.Context, args []string, serverURL string, out io.Writer) error {
	if serverURL == "" {
		return demonstrate(ctx, out)
	}
	if len(args) != 2 {
		return errors.New("usage: recipients list message")
	}
	list, err := os.ReadFile(args[0])
	if err != nil {
		return err
	}
	message, err := os.Open(args[1])
	if err != nil {
		return err
	}
	defer message.Close()
	addr, options, err := submission.ParseURL(serverURL)
	if err != nil {
		return err
	}
	client, err := submission.New(addr, options)
	if err != nil {
		return err
	}
	defer client.Close()

	envelope := submission.Envelope{ // from Options.From
		To:      submission.To(strings.Fields(string(list))...),
		Partial: true,
	}
	result, err := client.Send(ctx, envelope, message)
	if err == nil {
		report(out, result.Recipients)
		return nil
	}
	var failed *submission.SendError // every error of Send is one
	errors.As(err, &failed)
	report(out, failed.Recipients)
	if rest, ok := failed.Remaining(envelope); ok { // for a queue, or for submission.Retry
		fmt.Fprintf(out, "another try later may help %d of them\n", len(rest.To))
	}
	return err
}

// report prints a line for each recipient, and how many there are of each status.
func report(out io.Writer, recipients []submission.RecipientResult) {
	count := map[submission.RecipientStatus]int{}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, r := range recipients {
		count[r.Status]++
		fmt.Fprintf(table, "%s\t%v\t%v\n", r.Addr, r.Status, r.Reply)
	}
	table.Flush()
	fmt.Fprintf(out, "%d sent, %d refused for good (take them off the list), %d unsent, %d may have it or not\n",
		count[submission.RecipientSent], count[submission.RecipientInvalid],
		count[submission.RecipientUnsent], count[submission.RecipientUncertain])
}
