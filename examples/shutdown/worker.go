package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fe022423/submission"
)

// workers do jobs: each sends a mail to an address.
type workers struct {
	jobs chan string
	done chan struct{} // closed when all that were begun are over
	sent atomic.Int64

	printing sync.Mutex
	out      io.Writer
}

// startWorkers starts four workers, which print what becomes of each job.
func startWorkers(client *submission.Client, out io.Writer) *workers {
	w := &workers{jobs: make(chan string), done: make(chan struct{}), out: out}
	var running sync.WaitGroup
	for range 4 {
		running.Go(func() {
			for to := range w.jobs {
				w.print(to, w.send(client, to))
			}
		})
	}
	go func() {
		running.Wait()
		close(w.done)
	}()
	return w
}

// print prints a line.
func (w *workers) print(about, text string) {
	w.printing.Lock()
	defer w.printing.Unlock()
	fmt.Fprintf(w.out, "%s: %s\n", about, text)
}

// feed hands out jobs until there are no more, or ctx is done. It returns how many were begun.
func (w *workers) feed(ctx context.Context, jobs []string) (begun int) {
	defer close(w.jobs)
	for begun < len(jobs) && ctx.Err() == nil {
		select {
		case w.jobs <- jobs[begun]:
			begun++
		case <-ctx.Done():
		}
	}
	return begun
}

// send does a job and says what became of it. It does not end with the signal: only
// Client.Shutdown ends it, at the deadline.
func (w *workers) send(client *submission.Client, to string) string {
	envelope := submission.Envelope{To: submission.To(to)} // from Options.From
	_, err := client.Send(context.Background(), envelope, message(to))
	var failed *submission.SendError
	switch {
	case err == nil:
		w.sent.Add(1)
		return "sent"
	case errors.As(err, &failed) && failed.Outcome == submission.Unknown:
		return "may have arrived: look before you do it again: " + err.Error()
	case errors.Is(err, submission.ErrClosed), failed.Temporary():
		return "to be done again: " + err.Error()
	}
	return "failed: " + err.Error()
}

// message is what a recipient gets.
func message(to string) io.Reader {
	return strings.NewReader(fmt.Sprintf("To: <%s>\r\nSubject: Your order\r\nDate: %s\r\nMessage-ID: <%s@example.org>\r\n\r\nIt is on its way.\r\n",
		to, time.Now().Format(time.RFC1123Z), rand.Text()))
}
