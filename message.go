package submission

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"net/mail"
	"strings"

	"github.com/fe022423/submission/internal/address"
	"github.com/fe022423/submission/internal/printable"
)

// ReadEnvelope makes the envelope of a message that says itself whom it is from and for,
// and returns a reader of the message as it is to be sent: without Bcc, everything else
// byte for byte. It reads the header section (RFC 5322) and returns as soon as that has
// come; the rest streams from msg, and can seek if msg can.
//
// The sender is the address in Sender, or the one in From. If there is neither,
// Envelope.From is empty, which means Options.From. The recipients are the addresses in To,
// Cc and Bcc, in this order, members of groups included. Each comes once: two are the same
// when their local parts are equal and their domains differ in case only. If the message
// was resent, the newest block of Resent fields, which is the first, decides instead, where
// it has fields for the sender or for recipients (RFC 5322, 3.6.6). The fields Bcc and
// Resent-Bcc are left out of the message however they are written. Envelope.UTF8 is set when
// the header section that is sent holds UTF-8; everything else in the Envelope is yours.
//
// CRLF, LF and CR each end a line. The header section has at most 1 MiB. What is not a
// field of the form "name: value" is an error, except a first line "From ..." of an mbox
// (RFC 4155), which stays in the message. Addresses are read as net/mail does.
//
// A recipient that is malformed is an *AddressError, and nobody to send to is
// ErrNoRecipients. A malformed sender, or several in From without Sender, is a
// *SenderError; the Envelope, without From, and the reader are good all the same then, for
// a caller who knows the sender. With any other error both are zero.
func ReadEnvelope(msg io.Reader) (Envelope, io.Reader, error) {
	if msg == nil {
		return Envelope{}, nil, &messageError{err: errNoSource}
	}
	r, err := receive(msg)
	if err != nil {
		return Envelope{}, nil, err
	}
	env := Envelope{UTF8: r.utf8}
	if env.To, err = r.header.recipients(); err != nil {
		return Envelope{}, nil, err
	}
	env.From, err = r.header.sender()
	return env, r.rest, err
}

// Composed is a message of a library that makes messages, as github.com/wneessen/go-mail's
// Msg is one.
type Composed interface {
	// GetSender returns the sender: with fullAddr with its display name.
	GetSender(fullAddr bool) (string, error)
	// GetRecipients returns all recipients, those of Bcc included.
	GetRecipients() ([]string, error)
}

// EnvelopeOf makes the envelope of a message that was composed with another library, Bcc
// included. Addresses may be bare, in angle brackets or with a display name; the envelope has
// them bare, and each recipient once, as ReadEnvelope does. An empty sender means
// Options.From. The error for a malformed address is a *SenderError or an *AddressError, and
// nobody to send to is ErrNoRecipients; an error of m is wrapped.
func EnvelopeOf(m Composed) (Envelope, error) {
	if m == nil {
		return Envelope{}, &messageError{err: errNoMessage}
	}
	sender, err := m.GetSender(false)
	if err == nil && sender != "" && sender != NullSender {
		sender, err = barePath(sender)
	}
	if err != nil {
		return Envelope{}, &SenderError{Addr: sender, Err: &fieldError{err: err}}
	}
	list, err := m.GetRecipients()
	if err != nil && len(list) == 0 {
		err = fmt.Errorf("%w: %w", ErrNoRecipients, err)
	}
	if err != nil {
		return Envelope{}, &messageError{err: err}
	}
	var to distinct
	for _, addr := range list {
		bare, err := barePath(addr)
		if err != nil {
			return Envelope{}, &AddressError{Addr: addr, Err: &fieldError{err: err}}
		}
		to.add(bare)
	}
	if to.list == nil {
		return Envelope{}, ErrNoRecipients
	}
	return Envelope{From: sender, To: to.list}, nil
}

// ToAddresses makes recipients of addresses as net/mail has them. Their names are left
// out; an address that is nil is passed over.
func ToAddresses(list ...*mail.Address) []Recipient {
	to := make([]Recipient, 0, len(list))
	for _, a := range list {
		if a != nil {
			to = append(to, Recipient{Addr: bareAddress(a)})
		}
	}
	return to
}

// ParseTo makes recipients of a list as it stands in To or Cc of a message (RFC 5322,
// 3.4): "Anna <a@example.net>, b@example.net". The members of groups are taken too. An
// address that is listed twice is so twice. A list of nobody is ErrNoRecipients, one that
// is malformed an *AddressError.
func ParseTo(list string) ([]Recipient, error) {
	parsed, err := parseAddresses(list)
	if err != nil {
		return nil, &AddressError{Addr: list, Err: &fieldError{err: err}}
	}
	if len(parsed) == 0 {
		return nil, ErrNoRecipients
	}
	return ToAddresses(parsed...), nil
}

var errNoMessage = errors.New("no message: it is nil")

// messageError says that a message cannot be read.
type messageError struct {
	err    error
	source bool // its source failed
}

func (e *messageError) Error() string { return prefix + e.detail() }

func (e *messageError) detail() string {
	if e.source {
		return StageMessage.String() + ": source: " + detail(e.err)
	}
	return StageMessage.String() + ": " + detail(e.err)
}

func (e *messageError) Unwrap() error { return e.err }

// Temporary returns false: the same message is as it is.
func (e *messageError) Temporary() bool { return false }

// fieldError says what is wrong in a list of addresses: one that was read from the field of
// that name, "" where there is none.
type fieldError struct {
	field string
	err   error
}

func (e *fieldError) Error() string { return prefix + e.detail() }

func (e *fieldError) detail() string {
	if e.field == "" {
		return detail(e.err)
	}
	return fmt.Sprintf("%s: %s", printable.Text(e.field), detail(e.err))
}

func (e *fieldError) Unwrap() error { return e.err }

// parseAddresses returns the addresses in a field of a message. There are none in one that
// is empty or has only comments (RFC 5322, 3.6.3: Bcc may be so).
func parseAddresses(value string) ([]*mail.Address, error) {
	bare := withoutComments(value)
	if strings.Trim(bare, " \t\r\n") == "" {
		return nil, nil
	}
	// A name is of no interest here, whatever its charset.
	undecoded := func(_ string, text io.Reader) (io.Reader, error) { return text, nil }
	parser := mail.AddressParser{WordDecoder: &mime.WordDecoder{CharsetReader: undecoded}}
	list, err := parser.ParseList(value)
	if err == nil || bare == value {
		return list, err
	}
	// net/mail does not take a comment in front of an address.
	if list, err := parser.ParseList(bare); err == nil {
		return list, nil
	}
	return nil, err
}

// withoutComments puts a space in the place of each comment (RFC 5322, 3.2.2). What has an
// unclosed comment it returns as it is.
func withoutComments(s string) string {
	if !strings.Contains(s, "(") {
		return s
	}
	var b strings.Builder
	depth, quoted := 0, false
	for i := 0; i < len(s); i++ {
		from := i
		switch c := s[i]; {
		case c == '\\' && i+1 < len(s) && (quoted || depth > 0):
			i++
		case c == '"' && depth == 0:
			quoted = !quoted
		case c == '(' && !quoted:
			if depth++; depth == 1 {
				b.WriteByte(' ')
			}
		case c == ')' && depth > 0:
			depth--
			continue
		}
		if depth == 0 {
			b.WriteString(s[from : i+1])
		}
	}
	if depth > 0 {
		return s
	}
	return b.String()
}

// bareAddress returns the address as it goes into an envelope: net/mail takes the quotes
// off a local part, which may need them.
func bareAddress(a *mail.Address) string {
	if !strings.Contains(a.Address, "@") {
		return a.Address // "Postmaster"
	}
	s := (&mail.Address{Address: a.Address}).String()
	return strings.TrimSuffix(strings.TrimPrefix(s, "<"), ">")
}

// barePath returns the address in a text that is one: bare, in angle brackets or with a
// display name.
func barePath(s string) (string, error) {
	bare := address.Bare(s)
	_, err := address.Parse(bare)
	if err == nil || strings.EqualFold(bare, "Postmaster") {
		return bare, nil
	}
	if list, notOne := parseAddresses(s); notOne == nil && len(list) == 1 {
		return bareAddress(list[0]), nil
	}
	return "", err
}
