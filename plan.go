package submission

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/fe022423/submission/internal/address"
)

// paramExtension maps the parameters that are not named like the extension
// that brings them: RFC 2852, RFC 4865.
var paramExtension = map[string]string{
	"BY":        "DELIVERBY",
	"HOLDFOR":   "FUTURERELEASE",
	"HOLDUNTIL": "FUTURERELEASE",
}

// typedParams are the parameters that fields of Envelope and Recipient set.
var typedParams = []string{"SIZE", "BODY", "SMTPUTF8", "RET", "ENVID", "AUTH", "REQUIRETLS", "NOTIFY", "ORCPT"}

// plan is an envelope that was parsed and checked: it can be written as MAIL
// and RCPT lines for any server that offers what it needs.
type plan struct {
	env    *Envelope
	from   string // as the caller gave it
	null   bool
	sender address.Mailbox
	rcpts  []address.Mailbox
	bad    []error // per recipient, nil where good; nil slice when all are
}

// parse checks everything that needs no server. What is wrong with single
// recipients is kept in bad when the envelope is partial; else it is returned.
func (p *plan) parse(env *Envelope, defaultFrom string) error {
	p.env, p.from = env, env.From
	if p.from == "" {
		p.from = defaultFrom
	}
	if p.null = p.from == NullSender; !p.null {
		if p.from == "" {
			return &SenderError{Err: errors.New("no sender: set Envelope.From or Options.From")}
		}
		var err error
		if p.sender, err = address.Parse(p.from); err != nil {
			return &SenderError{Addr: p.from, Err: err}
		}
	}
	if err := p.parseMailParams(); err != nil {
		return &SenderError{Addr: p.from, Err: err}
	}
	if len(env.To) == 0 {
		return ErrNoRecipients
	}
	var errs []error
	p.rcpts, p.bad = slices.Grow(p.rcpts[:0], len(env.To)), nil
	for i := range env.To {
		box, err := parseRecipient(&env.To[i])
		p.rcpts = append(p.rcpts, box)
		if err != nil {
			errs = append(errs, p.setBad(i, err))
		}
	}
	return p.judge(errs)
}

// setBad marks a recipient that cannot be asked for.
func (p *plan) setBad(i int, err error) error {
	if p.bad == nil {
		p.bad = make([]error, len(p.env.To))
	}
	p.bad[i] = &AddressError{Addr: p.env.To[i].Addr, Err: err}
	return p.bad[i]
}

// judge decides whether errs about recipients stop the message.
func (p *plan) judge(errs []error) error {
	if len(errs) == 0 || p.env.Partial && slices.Contains(p.bad, nil) {
		return nil
	}
	return join(errs...)
}

func (p *plan) parseMailParams() error {
	env := p.env
	if err := env.DSN.check(); err != nil {
		return err
	}
	switch env.Body {
	case "", Body7Bit, Body8BitMIME, BodyBinaryMIME:
	default:
		return fmt.Errorf("unknown Envelope.Body %q", string(env.Body))
	}
	if env.Size < 0 {
		return fmt.Errorf("negative Envelope.Size %d", env.Size)
	}
	if env.Submitter != "" && env.Submitter != NullSender {
		box, err := address.Parse(env.Submitter)
		if err == nil && box.NeedsSMTPUTF8() {
			err = errors.New("not ASCII")
		}
		if err != nil {
			return fmt.Errorf("submitter %q: %w", env.Submitter, err)
		}
	}
	return checkParams(env.Params)
}

func parseRecipient(r *Recipient) (address.Mailbox, error) {
	var box address.Mailbox
	if strings.EqualFold(r.Addr, "Postmaster") {
		box.Local = r.Addr // RFC 5321, 4.1.1.3: the one name without a domain
	} else if r.Addr == NullSender || r.Addr == "" {
		return box, errors.New("the null path is no recipient")
	} else {
		var err error
		if box, err = address.Parse(r.Addr); err != nil {
			return box, err
		}
	}
	if err := r.Notify.check(); err != nil {
		return box, err
	}
	if r.ORCPT != "" {
		if _, err := appendORCPT(nil, r.ORCPT); err != nil {
			return box, err
		}
	}
	return box, checkParams(r.Params)
}

// checkParams checks the grammar of parameters (RFC 5321, 4.1.2).
func checkParams(params []string) error {
	for _, p := range params {
		key, value, hasValue := strings.Cut(p, "=")
		if !address.IsKeyword(key) {
			return fmt.Errorf("parameter %q: bad keyword", p)
		}
		if slices.Contains(typedParams, strings.ToUpper(key)) {
			return fmt.Errorf("parameter %q: set the field of Envelope or Recipient instead", p)
		}
		bad := strings.ContainsFunc(value, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '=' })
		if bad || hasValue && value == "" {
			return fmt.Errorf("parameter %q: bad value", p)
		}
	}
	return nil
}

// check holds the plan against what the server offers and the connection is.
func (p *plan) check(ext Extensions, secure bool) error {
	env := p.env
	needs := []struct {
		asked   bool
		keyword string
		what    string
	}{
		{env.DSN.Return != "" || env.DSN.EnvelopeID != "" || env.DSN.Notify != 0, extDSN, "delivery status notifications"},
		{env.Submitter != "", extAuth, "Submitter"},
		{env.RequireTLS, extRequireTLS, "RequireTLS"},
		{env.UTF8, extSMTPUTF8, "UTF8"},
		{env.Body == Body8BitMIME, ext8BitMIME, "an 8-bit body"},
		{env.Body == BodyBinaryMIME, extBinaryMIME, "a binary body"},
		{env.Body == BodyBinaryMIME, extChunking, "a binary body"},
		{!p.null && p.sender.NeedsSMTPUTF8(), extSMTPUTF8, "a sender that is not ASCII"},
	}
	for _, n := range needs {
		if n.asked && !ext.Has(n.keyword) {
			return &SenderError{Addr: p.from, Err: unsupported(n.keyword, n.what)}
		}
	}
	if env.RequireTLS && !secure {
		return &SenderError{Addr: p.from, Err: fmt.Errorf("%w: RequireTLS on a connection without TLS", ErrUnsupported)}
	}
	if err := offered(ext, env.Params); err != nil {
		return &SenderError{Addr: p.from, Err: err}
	}
	var errs []error
	for i := range p.rcpts {
		if p.bad != nil && p.bad[i] != nil {
			continue
		}
		r := &env.To[i]
		err := offered(ext, r.Params)
		if (r.Notify != 0 || r.ORCPT != "") && !ext.Has(extDSN) {
			err = unsupported(extDSN, "delivery status notifications")
		}
		if p.rcpts[i].NeedsSMTPUTF8() && !ext.Has(extSMTPUTF8) {
			err = unsupported(extSMTPUTF8, "an address that is not ASCII")
		}
		if err != nil {
			errs = append(errs, p.setBad(i, err))
		}
	}
	return p.judge(errs)
}

func unsupported(keyword, what string) error {
	return fmt.Errorf("%w: %s needs %s", ErrUnsupported, what, keyword)
}

// offered checks that the extension of each parameter is there.
func offered(ext Extensions, params []string) error {
	for _, param := range params {
		key, _, _ := strings.Cut(strings.ToUpper(param), "=")
		keyword := key
		if e, ok := paramExtension[key]; ok {
			keyword = e
		}
		if !ext.Has(keyword) {
			return unsupported(keyword, "parameter "+key)
		}
	}
	return nil
}

// utf8 reports whether the envelope is sent under SMTPUTF8.
func (p *plan) utf8() bool {
	if p.env.UTF8 || !p.null && p.sender.NeedsSMTPUTF8() {
		return true
	}
	for i := range p.rcpts {
		if p.rcpts[i].NeedsSMTPUTF8() && (p.bad == nil || p.bad[i] == nil) {
			return true
		}
	}
	return false
}

// appendMail appends the MAIL command without its CRLF. size is announced when
// positive, body when not empty.
func (p *plan) appendMail(dst []byte, size int64, body BodyType) []byte {
	dst = append(dst, "MAIL FROM:<"...)
	if !p.null {
		dst = p.sender.Append(dst)
	}
	dst = append(dst, '>')
	env := p.env
	if size > 0 {
		dst = strconv.AppendInt(append(dst, " SIZE="...), size, 10)
	}
	if body != "" {
		dst = append(append(dst, " BODY="...), body...)
	}
	if p.utf8() {
		dst = append(dst, " SMTPUTF8"...)
	}
	if env.DSN.Return != "" {
		dst = append(append(dst, " RET="...), env.DSN.Return...)
	}
	if env.DSN.EnvelopeID != "" {
		dst = appendXtext(append(dst, " ENVID="...), env.DSN.EnvelopeID)
	}
	if env.RequireTLS {
		dst = append(dst, " REQUIRETLS"...)
	}
	if env.Submitter == NullSender {
		dst = append(dst, " AUTH=<>"...)
	} else if env.Submitter != "" {
		// Parsed before: the mailbox goes out in its canonical form.
		box, _ := address.Parse(env.Submitter)
		dst = appendXtext(append(dst, " AUTH="...), string(box.Append(nil)))
	}
	for _, param := range env.Params {
		dst = append(append(dst, ' '), param...)
	}
	return dst
}

// appendRcpt appends the RCPT command of recipient i without its CRLF.
func (p *plan) appendRcpt(dst []byte, i int) []byte {
	r := &p.env.To[i]
	dst = p.rcpts[i].Append(append(dst, "RCPT TO:<"...))
	dst = append(dst, '>')
	notify := r.Notify
	if notify == 0 {
		notify = p.env.DSN.Notify
	}
	if notify != 0 {
		dst = append(append(dst, " NOTIFY="...), notify.String()...)
	}
	if r.ORCPT != "" {
		dst, _ = appendORCPT(append(dst, " ORCPT="...), r.ORCPT) // parsed before
	}
	for _, param := range r.Params {
		dst = append(append(dst, ' '), param...)
	}
	return dst
}
