package main

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/csv"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"time"
)

// letter is a mail that confirms an order, with the order as an attachment.
type letter struct {
	messageID string
	data      []byte
}

// reader returns a reader that can seek: so the client may start the message once more where a
// session turns out to be the wrong one.
func (l *letter) reader() io.Reader { return bytes.NewReader(l.data) }

// newLetter makes the mail. Nothing that the customer wrote gets into the header section without
// an encoder, which leaves no line break in it.
func newLetter(from *mail.Address, o *order) (*letter, error) {
	domain := from.Address[strings.LastIndexByte(from.Address, '@')+1:]
	l := &letter{messageID: fmt.Sprintf("<%s@%s>", rand.Text(), domain)}
	var msg bytes.Buffer
	parts := multipart.NewWriter(&msg)
	fmt.Fprintf(&msg, "From: %v\r\nTo: %v\r\n", from, o.to)
	fmt.Fprintf(&msg, "Subject: %s\r\n", mime.QEncoding.Encode("utf-8", "Your order, "+o.Name))
	fmt.Fprintf(&msg, "Date: %s\r\nMessage-ID: %s\r\n", time.Now().Format(time.RFC1123Z), l.messageID)
	fmt.Fprintf(&msg, "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=%s\r\n\r\n", parts.Boundary())
	if err := addText(parts, o); err != nil {
		return nil, err
	}
	if err := addTable(parts, o); err != nil {
		return nil, err
	}
	err := parts.Close()
	l.data = msg.Bytes()
	return l, err
}

func addText(parts *multipart.Writer, o *order) error {
	part, err := parts.CreatePart(textproto.MIMEHeader{
		"Content-Type":              {"text/plain; charset=utf-8"},
		"Content-Transfer-Encoding": {"quoted-printable"},
	})
	if err != nil {
		return err
	}
	text := quotedprintable.NewWriter(part)
	fmt.Fprintf(text, "Hello %s,\n\nthank you for your order of %d items, which is attached.\n", o.Name, len(o.Items))
	return text.Close()
}

func addTable(parts *multipart.Writer, o *order) error {
	var table bytes.Buffer
	w := csv.NewWriter(&table)
	w.Write([]string{"item", "count"})
	for _, it := range o.Items {
		w.Write([]string{it.Name, strconv.Itoa(it.Count)})
	}
	if w.Flush(); w.Error() != nil {
		return w.Error()
	}
	part, err := parts.CreatePart(textproto.MIMEHeader{
		"Content-Type":              {"text/csv; charset=utf-8"},
		"Content-Transfer-Encoding": {"base64"},
		"Content-Disposition":       {"attachment; filename=order.csv"},
	})
	if err != nil {
		return err
	}
	for line := range slices.Chunk(table.Bytes(), 57) { // 76 columns
		fmt.Fprintf(part, "%s\r\n", base64.StdEncoding.EncodeToString(line))
	}
	return nil
}
