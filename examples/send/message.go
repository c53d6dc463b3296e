package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/fe022423/submission"
)

var errEmpty = errors.New("the message is empty")

// open opens the message and waits for its first octets.
func (j *job) open(ctx context.Context) (err error) {
	if j.message != nil { // of the demonstration
		return nil
	}
	if j.message, err = openFile(ctx, j.file); err == nil && j.header {
		j.message, err = j.readHeader(j.message)
	}
	return err
}

// openFile opens a file or standard input. What is not a regular file may have nothing
// to read for a long time: a goroutine reads it, and when ctx is done the reader fails
// at once.
func openFile(ctx context.Context, name string) (io.Reader, error) {
	stat, open := os.Stdin.Stat, func() (*os.File, error) { return os.Stdin, nil }
	if name != "-" {
		stat, open = func() (os.FileInfo, error) { return os.Stat(name) }, func() (*os.File, error) { return os.Open(name) }
	}
	info, err := stat()
	if err != nil {
		return nil, err
	}
	if info.Mode().IsRegular() {
		f, err := open()
		if err != nil {
			return nil, err
		}
		if at, err := f.Seek(0, io.SeekCurrent); err == nil && at >= info.Size() {
			return nil, errEmpty
		}
		return f, nil
	}
	pr, pw := io.Pipe()
	go func() {
		f, err := open()
		if err == nil {
			_, err = io.Copy(pw, f)
		}
		pw.CloseWithError(err) // nil is the end of the message
	}()
	context.AfterFunc(ctx, func() { pw.CloseWithError(context.Cause(ctx)) })
	r := bufio.NewReader(pr)
	if _, err = r.Peek(1); err == io.EOF {
		err = errEmpty
	}
	return r, err
}

// readHeader takes sender and recipients from the header section; -from goes before that. It
// returns the message without Bcc.
func (j *job) readHeader(message io.Reader) (io.Reader, error) {
	read, rest, err := submission.ReadEnvelope(message)
	known := cmp.Or(j.envelope.From, j.options.From)
	if noSender := (*submission.SenderError)(nil); errors.As(err, &noSender) && known != "" {
		err = nil // -from or SUBMISSION_URL says it
	} else if noSender != nil {
		return nil, fmt.Errorf("-t: there must be one address in Sender, or in From: %w", err)
	}
	if err != nil {
		return nil, fmt.Errorf("-t: %w", err)
	}
	j.envelope.From = cmp.Or(j.envelope.From, read.From)
	if cmp.Or(j.envelope.From, known) == "" {
		return nil, errors.New("-t: there must be one address in Sender, or in From")
	}
	j.envelope.To, j.envelope.UTF8 = read.To, read.UTF8
	return rest, nil
}
