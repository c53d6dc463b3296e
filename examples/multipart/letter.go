package main

import (
	"bufio"
	"cmp"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"net/textproto"
	"path/filepath"
	"strings"
	"time"
)

// letter is a mail with a text, the same in HTML, and a file.
type letter struct {
	From, To   *mail.Address
	Subject    string
	Text, HTML string
	FileName   string
	File       io.Reader
}

// writeTo writes the message: a multipart/mixed of the file and, before it, a
// multipart/alternative of the text and the HTML, of which a reader is shown the last one
// that it understands.
func (l *letter) writeTo(out io.Writer) error {
	w := bufio.NewWriter(out) // keeps the first error of all writes, which Flush returns
	mixed := multipart.NewWriter(w)
	l.writeHeader(w, mixed.Boundary())
	alternative := multipart.NewWriter(io.Discard)
	part, err := mixed.CreatePart(textproto.MIMEHeader{
		"Content-Type": {"multipart/alternative; boundary=" + alternative.Boundary()},
	})
	if err == nil {
		err = l.writeTexts(part, alternative.Boundary())
	}
	if err == nil {
		err = l.attach(mixed)
	}
	if err == nil {
		err = mixed.Close() // writes the last boundary
	}
	if err != nil {
		return err // nothing is delivered
	}
	return w.Flush()
}

// writeHeader writes the header section. Whatever came from outside goes through an
// encoder, which leaves no line break in it: nobody can add a field of his own.
func (l *letter) writeHeader(w io.Writer, boundary string) {
	domain := l.From.Address[strings.LastIndexByte(l.From.Address, '@')+1:]
	fmt.Fprintf(w, "From: %v\r\n", l.From) // a name that is not ASCII is encoded
	fmt.Fprintf(w, "To: %v\r\n", l.To)
	fmt.Fprintf(w, "Subject: %s\r\n", mime.QEncoding.Encode("utf-8", l.Subject))
	fmt.Fprintf(w, "Date: %s\r\n", time.Now().Format(time.RFC1123Z))
	fmt.Fprintf(w, "Message-ID: <%s@%s>\r\n", rand.Text(), domain)
	fmt.Fprintf(w, "MIME-Version: 1.0\r\n")
	fmt.Fprintf(w, "Content-Type: multipart/mixed; boundary=%s\r\n\r\n", boundary)
}

// writeTexts writes the text and the HTML. Quoted-printable passes any server, and has no
// long lines.
func (l *letter) writeTexts(w io.Writer, boundary string) error {
	alternative := multipart.NewWriter(w)
	if err := alternative.SetBoundary(boundary); err != nil {
		return err
	}
	for _, text := range []struct{ kind, content string }{{"text/plain", l.Text}, {"text/html", l.HTML}} {
		part, err := alternative.CreatePart(textproto.MIMEHeader{
			"Content-Type":              {text.kind + "; charset=utf-8"},
			"Content-Transfer-Encoding": {"quoted-printable"},
		})
		if err != nil {
			return err
		}
		quoted := quotedprintable.NewWriter(part)
		io.WriteString(quoted, text.content)
		if err := quoted.Close(); err != nil {
			return err
		}
	}
	return alternative.Close()
}

// attach adds the file, in base64 lines of 76 characters.
func (l *letter) attach(mixed *multipart.Writer) error {
	part, err := mixed.CreatePart(textproto.MIMEHeader{
		"Content-Type":              {cmp.Or(mime.TypeByExtension(filepath.Ext(l.FileName)), "application/octet-stream")},
		"Content-Transfer-Encoding": {"base64"},
		"Content-Disposition":       {mime.FormatMediaType("attachment", map[string]string{"filename": l.FileName})},
	})
	for line := make([]byte, 57); err == nil; {
		var n int
		if n, err = io.ReadFull(l.File, line); n > 0 {
			fmt.Fprintf(part, "%s\r\n", base64.StdEncoding.EncodeToString(line[:n]))
		}
	}
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return nil
	}
	return err
}
