package main

import (
	"io"
	"path/filepath"
	"strings"
	"time"

	"github.com/emersion/go-message/mail"
)

// letter is a mail with a text, the same in HTML, and a file.
type letter struct {
	from, to *mail.Address
	fileName string
	file     io.Reader
}

// writeTo writes the message. go-message encodes what stands in header fields.
func (l *letter) writeTo(out io.Writer) error {
	var h mail.Header
	h.SetDate(time.Now())
	h.SetAddressList("From", []*mail.Address{l.from})
	h.SetAddressList("To", []*mail.Address{l.to})
	h.SetSubject("Ihre Datei für März")
	domain := l.from.Address[strings.LastIndexByte(l.from.Address, '@')+1:]
	if err := h.GenerateMessageIDWithHostname(domain); err != nil { // not the name of this machine
		return err
	}
	w, err := mail.CreateWriter(out, h)
	if err != nil {
		return err
	}
	if err := writeTexts(w); err != nil {
		return err
	}
	if err := l.attach(w); err != nil {
		return err // without Close there is no last boundary, but nothing is delivered anyway
	}
	return w.Close()
}

func writeTexts(w *mail.Writer) error {
	texts, err := w.CreateInline()
	if err != nil {
		return err
	}
	for _, text := range []struct{ kind, content string }{
		{"text/plain", "Hello,\n\nhere is the file that you asked for.\n"},
		{"text/html", "<p>Hello,</p>\n<p>here is the <b>file</b> that you asked for.</p>\n"},
	} {
		var h mail.InlineHeader
		h.SetContentType(text.kind, map[string]string{"charset": "utf-8"})
		if err := copyPart(texts.CreatePart, h, text.content); err != nil {
			return err
		}
	}
	return texts.Close()
}

// copyPart writes a part of a text.
func copyPart(create func(mail.InlineHeader) (io.WriteCloser, error), h mail.InlineHeader, content string) error {
	part, err := create(h)
	if err != nil {
		return err
	}
	if _, err := io.WriteString(part, content); err != nil {
		return err
	}
	return part.Close()
}

// attach adds the file.
func (l *letter) attach(w *mail.Writer) error {
	var h mail.AttachmentHeader
	h.SetContentType("application/octet-stream", nil)
	h.SetFilename(filepath.Base(l.fileName))
	part, err := w.CreateAttachment(h) // in base64
	if err != nil {
		return err
	}
	if _, err := io.Copy(part, l.file); err != nil {
		return err
	}
	return part.Close()
}
