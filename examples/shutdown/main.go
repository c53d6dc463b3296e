// Command shutdown is a worker that ends gracefully. On SIGTERM and Ctrl-C it begins no
// further job, lets the mails that are on their way come to their end, and cuts off what is
// not over by a deadline. Then it says of every job what became of it, so that none is lost
// and none is done twice.
//
// Without SUBMISSION_URL it sends to a slow fake server in its own process: press Ctrl-C. With a
// real server each line of a file is a job, the address of a recipient:
//
//	export SUBMISSION_URL='smtps://me:secret@mail.example.org?from=me@example.org'
//	go run ./examples/shutdown -grace 20s list.txt
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/fe022423/submission"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal kills
	if err := run(ctx, os.Args[1:], os.Getenv("SUBMISSION_URL"), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "shutdown:", err)
		os.Exit(1)
	}
}

// run does the jobs of a file until they are done or ctx is. The error is nil when all of
// them are done.
func run(ctx context.Context, args []string, serverURL string, out io.Writer) error {
	flags := flag.NewFlagSet("shutdown", flag.ContinueOnError)
	grace := flags.Duration("grace", 10*time.Second, "how long mails may take that are on their way when the program is to end")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if serverURL == "" {
		return demonstrate(ctx, args, out)
	}
	if flags.NArg() != 1 {
		return errors.New("usage: shutdown [-grace time] list")
	}
	list, err := os.ReadFile(flags.Arg(0))
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
	jobs := strings.Fields(string(list))
	workers := startWorkers(client, out)
	begun := workers.feed(ctx, jobs)
	select {
	case <-workers.done: // nobody is in a hurry
	case <-ctx.Done():
		workers.print("stopping", "what is on its way has "+grace.String())
	}
	// Not under ctx, which is done.
	deadline, cancel := context.WithTimeout(context.Background(), *grace)
	defer cancel()
	client.Shutdown(deadline) // an error says that some were cut off; each of them knows itself
	<-workers.done
	for _, to := range jobs[begun:] {
		workers.print(to, "not begun")
	}
	if sent := workers.sent.Load(); int(sent) < len(jobs) {
		return fmt.Errorf("%d of %d jobs are done", sent, len(jobs))
	}
	return nil
}
