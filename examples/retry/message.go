package main

import (
	"io"
	"os"

	"github.com/fe022423/submission"
)

// message is a file that is read as a message without Bcc.
type message struct {
	io.Reader
	io.Closer
}

// openMessage opens a file for one attempt, which closes it.
func openMessage(name string) (io.ReadCloser, error) {
	_, r, err := read(name)
	return r, err
}

// envelopeOf returns sender and recipients of a file.
func envelopeOf(name string) (submission.Envelope, error) {
	envelope, r, err := read(name)
	if err != nil {
		return envelope, err
	}
	return envelope, r.Close()
}

func read(name string) (submission.Envelope, io.ReadCloser, error) {
	f, err := os.Open(name)
	if err != nil {
		return submission.Envelope{}, nil, err
	}
	envelope, r, err := submission.ReadEnvelope(f)
	if err != nil {
		f.Close()
		return submission.Envelope{}, nil, err
	}
	return envelope, message{r, f}, nil
}
