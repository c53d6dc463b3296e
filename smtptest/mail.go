package smtptest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/mail"
	"net/textproto"
	"strconv"
	"strings"
	"unicode"

	"github.com/fe022423/submission/smtptest/internal/mimefield"
)

// maxNesting bounds how deep multiparts stand in each other: deeper than any program writes
// them, and shallow enough for a test that is fed nonsense.
const maxNesting = 50

// Mail is what a Message says to its reader.
type Mail struct {
	Header mail.Header // all fields, undecoded

	Subject      string          // decoded, "" without the field
	From, To, Cc []*mail.Address // with decoded names; nil without the field

	// Text and HTML are the first text/plain and the first text/html that are not
	// attachments, decoded, with LF at the ends of lines. "" is none.
	Text, HTML string
	// Attachments are all other parts, in their order: those that are called so or have
	// a name, inline images, messages (message/rfc822), and further texts.
	Attachments []Part
}

// Part is one part of a message.
type Part struct {
	Name   string               // of Content-Disposition, else of Content-Type, decoded; "" for none
	Type   string               // as "image/png", in lower case; "text/plain" if nobody says
	Header textproto.MIMEHeader // of the part, undecoded; of the message, if that has only one part
	Data   []byte               // without transfer encoding, otherwise as it came: text is not converted
}

// Parse reads the message as a mail program does (RFC 5322, RFC 2045 to 2047, RFC 2183,
// RFC 2231). It knows the character sets UTF-8, US-ASCII and ISO-8859-1, and text without
// one that is valid UTF-8.
//
// It is strict: a test wants to know that its program sends something malformed. The error
// names the field or the part ("part 2.1" is the first one in the second), and there is
// no Mail then. With Config.Discard there is nothing to parse, which is an error as well.
//
// A message within the message is in Part.Data: Message{Data: part.Data}.Parse() reads it.
func (m Message) Parse() (*Mail, error) {
	parsed, err := m.parse()
	if err != nil {
		return nil, fmt.Errorf("smtptest: message from <%s>: %w", m.From, escaped{err})
	}
	return parsed, nil
}

// escaped is an error whose text has no control characters: some errors of the standard
// library quote what they have read.
type escaped struct{ error }

func (e escaped) Unwrap() error { return e.error }

func (e escaped) Error() string {
	var text strings.Builder
	for _, c := range e.error.Error() {
		if unicode.IsControl(c) {
			q := strconv.QuoteRune(c)
			text.WriteString(q[1 : len(q)-1])
		} else {
			text.WriteRune(c)
		}
	}
	return text.String()
}

func (m Message) parse() (*Mail, error) {
	switch {
	case m.Data == nil && m.Size > 0:
		return nil, fmt.Errorf("the server kept none of its %d bytes (Config.Discard)", m.Size)
	case len(m.Data) == 0:
		return nil, errors.New("the message is empty")
	}
	raw, err := mail.ReadMessage(bytes.NewReader(m.Data))
	if err != nil {
		return nil, fmt.Errorf("header section: %w", err)
	}
	body, err := io.ReadAll(raw.Body)
	if err != nil {
		return nil, err
	}
	r := &mailReader{mail: &Mail{Header: raw.Header}}
	if err := r.readFields(); err != nil {
		return nil, err
	}
	root := entity{header: textproto.MIMEHeader(raw.Header), body: body, byDefault: "text/plain"}
	if err := r.read(root); err != nil {
		return nil, err
	}
	return r.mail, nil
}

// mailReader fills a Mail.
type mailReader struct {
	mail             *Mail
	hasText, hasHTML bool
}

func (r *mailReader) readFields() (err error) {
	m := r.mail
	if m.Subject, err = mimefield.Words(m.Header.Get("Subject")); err != nil {
		return fmt.Errorf("field Subject: %w", err)
	}
	parser := mail.AddressParser{WordDecoder: mimefield.WordDecoder}
	for _, field := range []struct {
		name string
		list *[]*mail.Address
	}{{"From", &m.From}, {"To", &m.To}, {"Cc", &m.Cc}} {
		for _, value := range m.Header[field.name] {
			if strings.TrimSpace(value) == "" {
				continue
			}
			addresses, err := parser.ParseList(value)
			if err != nil {
				return fmt.Errorf("field %s: %w", field.name, err)
			}
			*field.list = append(*field.list, addresses...)
		}
	}
	return nil
}

// entity is the message or a part of it (RFC 2045, 2.4).
type entity struct {
	number    string // as 2.1; "" for the message
	depth     int
	header    textproto.MIMEHeader
	body      []byte
	byDefault string // its type, if it has no Content-Type

	kind     string // the type, once it is known
	boundary string
	charset  string
}

// wrong is an error in the entity.
func (e *entity) wrong(err error) error {
	number := e.number
	if number == "" {
		number = "1" // as a message of one part is the first part of itself
	}
	if e.kind == "" {
		return fmt.Errorf("part %s: %w", number, err)
	}
	return fmt.Errorf("part %s (%s): %w", number, e.kind, err)
}

// read reads an entity and what is in it.
func (r *mailReader) read(e entity) error {
	name, attached, err := e.readHeader()
	if err != nil {
		return e.wrong(err)
	}
	if strings.HasPrefix(e.kind, "multipart/") {
		return r.readParts(e)
	}
	data, err := mimefield.Transfer(e.header.Get("Content-Transfer-Encoding"), e.body)
	if err != nil {
		return e.wrong(err)
	}
	var text *string
	switch {
	case attached || name != "":
	case e.kind == "text/plain" && !r.hasText:
		r.hasText, text = true, &r.mail.Text
	case e.kind == "text/html" && !r.hasHTML:
		r.hasHTML, text = true, &r.mail.HTML
	}
	if text == nil {
		r.mail.Attachments = append(r.mail.Attachments, Part{name, e.kind, e.header, data})
		return nil
	}
	decoded, err := mimefield.Decode(e.charset, data)
	if err != nil {
		return e.wrong(err)
	}
	*text = strings.ReplaceAll(decoded, "\r\n", "\n")
	return nil
}

// readHeader reads what the entity is. attached says that it is not for the eye.
func (e *entity) readHeader() (name string, attached bool, err error) {
	kind, params := e.byDefault, map[string]string{}
	if field := e.header.Get("Content-Type"); strings.TrimSpace(field) != "" {
		if kind, params, err = mimefield.Parse(field); err != nil {
			return "", false, fmt.Errorf("Content-Type: %w", err)
		}
		if main, sub, _ := strings.Cut(kind, "/"); main == "" || sub == "" {
			return "", false, fmt.Errorf("Content-Type %q is not type/subtype", kind)
		}
	}
	name = params["name"]
	if field := e.header.Get("Content-Disposition"); strings.TrimSpace(field) != "" {
		disposition, more, err := mimefield.Parse(field)
		if err != nil {
			return "", false, fmt.Errorf("Content-Disposition: %w", err)
		}
		attached = disposition != "inline" // RFC 2183, 2.8
		if more["filename"] != "" {
			name = more["filename"]
		}
	}
	e.kind, e.boundary, e.charset = kind, params["boundary"], params["charset"]
	return name, attached, nil
}

// readParts reads the parts of a multipart (RFC 2046, 5.1).
func (r *mailReader) readParts(e entity) error {
	encoding := strings.ToLower(strings.TrimSpace(e.header.Get("Content-Transfer-Encoding")))
	switch {
	case e.depth == maxNesting:
		return e.wrong(errors.New("too many parts within parts"))
	case encoding == "base64" || encoding == "quoted-printable": // RFC 2045, 6.4
		return e.wrong(errors.New("encoded with " + encoding + ", which only its parts can be"))
	case e.boundary == "":
		return e.wrong(errors.New("no boundary"))
	}
	part := entity{depth: e.depth + 1, byDefault: "text/plain"}
	if e.kind == "multipart/digest" {
		part.byDefault = "message/rfc822" // RFC 2046, 5.1.5
	}
	parts := multipart.NewReader(bytes.NewReader(e.body), e.boundary)
	for n := 1; ; n++ {
		p, err := parts.NextRawPart()
		if err == io.EOF { // not wrapped: the last boundary was there
			if n == 1 {
				return e.wrong(errors.New("no part in it"))
			}
			return nil
		}
		if err == nil {
			part.header = p.Header
			part.body, err = io.ReadAll(p)
		}
		if errors.Is(err, io.ErrUnexpectedEOF) || n > 1 && errors.Is(err, io.EOF) {
			err = errors.New("the boundary that ends it is missing")
		}
		if err != nil {
			return e.wrong(err)
		}
		part.number = strconv.Itoa(n)
		if e.number != "" {
			part.number = e.number + "." + part.number
		}
		if err := r.read(part); err != nil {
			return err
		}
	}
}
