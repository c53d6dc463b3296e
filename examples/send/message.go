package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/mail"
	"os"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/fe022423/submission"
)

// maxHeader bounds the header section, which -t keeps in memory.
const maxHeader = 1 << 20

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

// readHeader takes sender and recipients from the header section. It returns the
// message without Bcc.
func (j *job) readHeader(message io.Reader) (io.Reader, error) {
	section := bufio.NewReader(io.LimitReader(message, maxHeader))
	var all, kept bytes.Buffer
	for blind := false; ; {
		line, err := section.ReadBytes('\n')
		if all.Write(line); all.Len() == maxHeader {
			return nil, errors.New("-t: the header section is too long")
		}
		if err != nil && err != io.EOF {
			return nil, err
		}
		if name, _, _ := bytes.Cut(line, []byte(":")); len(line) > 0 && line[0] != ' ' && line[0] != '\t' {
			blind = strings.EqualFold(string(bytes.TrimRight(name, " \t")), "Bcc")
		}
		if !blind {
			kept.Write(line)
		}
		if err == io.EOF || len(bytes.TrimRight(line, "\r\n")) == 0 {
			break
		}
	}
	parsed, err := mail.ReadMessage(io.MultiReader(&all, strings.NewReader("\r\n\r\n")))
	if err == nil {
		err = j.address(parsed.Header)
	}
	if err != nil {
		return nil, fmt.Errorf("-t: %w", err)
	}
	// A header section in UTF-8 needs SMTPUTF8 on the way (RFC 6531).
	nonASCII := bytes.ContainsFunc(kept.Bytes(), func(r rune) bool { return r >= utf8.RuneSelf })
	j.envelope.UTF8 = nonASCII && utf8.Valid(kept.Bytes())
	return io.MultiReader(&kept, section, message), nil
}

// address fills the envelope from a header.
func (j *job) address(h mail.Header) error {
	for name := range h {
		if strings.HasPrefix(name, "Resent-") {
			return errors.New("the message was resent: say with -from and -to who sends it to whom")
		}
	}
	if j.envelope.From == "" {
		senders, err := addresses(h, "Sender")
		if len(senders) == 0 && err == nil {
			senders, err = addresses(h, "From")
		}
		if err != nil {
			return err
		}
		if len(senders) != 1 {
			return errors.New("there must be one address in Sender, or in From")
		}
		j.envelope.From = senders[0]
	}
	to, err := addresses(h, "To", "Cc", "Bcc")
	if err == nil && len(to) == 0 {
		err = errors.New("there is no address in To, Cc and Bcc")
	}
	j.envelope.To = submission.To(to...)
	return err
}

// addresses returns the addresses in fields, each once, as an envelope has them.
func addresses(h mail.Header, fields ...string) ([]string, error) {
	var all []string
	for _, field := range fields {
		for _, value := range h[field] {
			list, err := mail.ParseAddressList(value)
			if err != nil && strings.TrimSpace(value) != "" {
				return nil, fmt.Errorf("%s: %w", field, err)
			}
			for _, a := range list {
				// String quotes the local part where it has to be.
				quoted := (&mail.Address{Address: a.Address}).String()
				if addr := quoted[1 : len(quoted)-1]; !slices.Contains(all, addr) {
					all = append(all, addr)
				}
			}
		}
	}
	return all, nil
}
