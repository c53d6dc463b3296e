package submission

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/fe022423/submission/internal/address"
)

// plan is an envelope that was parsed, checked and written out. It never changes:
// neither the caller's later changes to the envelope nor what one server lacks
// reach it.
type plan struct {
	from    string   // the sender as the caller gave it
	env     Envelope // without To; its slices are our own
	text    []byte   // MAIL with its path, the parameters of MAIL, each RCPT
	mail    span     // "MAIL FROM:<...>"
	params  span     // parameters of MAIL that every server gets
	utf8    bool     // the sender needs SMTPUTF8, or the envelope asks for it
	rcpts   []plannedRcpt
	invalid bool // a recipient cannot be asked for
}

// span is a part of plan.text.
type span struct{ from, to int }

// plannedRcpt is one recipient of a plan.
type plannedRcpt struct {
	addr    string // as the caller gave it
	line    span   // the RCPT command
	options span   // its parameters in line
	dsn     bool   // asks for something of DSN
	rrvs    bool   // asks since when the address must be valid
	utf8    bool   // needs SMTPUTF8
	params  []string
	err     error // why it cannot be asked for, whatever the server
}

// domain returns the domain of recipient i in lower case, "" for Postmaster alone.
func (p *plan) domain(i int) string {
	r := &p.rcpts[i]
	path := p.text[r.line.from : r.options.from-1] // without its ">"
	at := bytes.LastIndexByte(path, '@')
	if at < 0 {
		return ""
	}
	return string(bytes.ToLower(path[at+1:]))
}

// at returns a part of the text.
func (p *plan) at(s span) []byte { return p.text[s.from:s.to] }

// write checks everything in env that needs no server, and writes the commands out.
// A recipient that is not valid stays in a partial plan and is not asked for.
func (p *plan) write(env *Envelope, defaultFrom string, m *memory) error {
	*p = plan{from: env.From, env: *env, text: m.text[:0], rcpts: m.rcpts[:0]}
	p.env.To, p.env.Params = nil, slices.Clone(env.Params)
	if p.from == "" {
		p.from = defaultFrom
	}
	for i := range env.To {
		p.rcpts = append(p.rcpts, plannedRcpt{addr: env.To[i].Addr})
	}
	err := p.writeMail()
	if err == nil {
		err = p.writeRcpts(env.To)
	}
	m.text, m.rcpts = p.text, p.rcpts
	return err
}

func (p *plan) writeRcpts(to []Recipient) error {
	if len(to) == 0 {
		return ErrNoRecipients
	}
	var errs []error
	for i := range to {
		if err := p.writeRcpt(&p.rcpts[i], &to[i]); err != nil {
			p.rcpts[i].err = &AddressError{Addr: to[i].Addr, Err: err}
			errs = append(errs, p.rcpts[i].err)
		}
	}
	p.invalid = errs != nil
	return p.stops(errs)
}

// stops returns the error of a message of which errs say that recipients cannot
// be asked for: nil when it may go to the others.
func (p *plan) stops(errs []error) error {
	if len(errs) == 0 || p.env.Partial && len(errs) < len(p.rcpts) {
		return nil
	}
	return join(errs...)
}

// writeMail writes the parts of MAIL that do not depend on the message.
func (p *plan) writeMail() error {
	var sender address.Mailbox
	if p.from == "" {
		return &SenderError{Err: errors.New("no sender: set Envelope.From or Options.From")}
	}
	if p.from != NullSender {
		var err error
		if sender, err = address.ParsePath(p.from); err != nil {
			return &SenderError{Addr: p.from, Err: err}
		}
	}
	p.utf8 = p.env.UTF8 || sender.NeedsSMTPUTF8()
	p.text = append(p.text, "MAIL FROM:<"...)
	if p.from != NullSender {
		p.text = sender.Append(p.text)
	}
	p.text = append(p.text, '>')
	p.mail = span{0, len(p.text)}
	err := p.writeMailParams()
	p.params = span{p.mail.to, len(p.text)}
	if err != nil {
		return &SenderError{Addr: p.from, Err: err}
	}
	return nil
}

func (p *plan) writeMailParams() error {
	env := &p.env
	switch env.Body {
	case "", Body7Bit, Body8BitMIME, BodyBinaryMIME:
	default:
		return fmt.Errorf("unknown Envelope.Body %q", string(env.Body))
	}
	if env.Size < 0 {
		return fmt.Errorf("negative Envelope.Size %d", env.Size)
	}
	if err := env.DSN.check(); err != nil {
		return err
	}
	b := p.text
	if env.DSN.Return != "" {
		b = append(append(b, " RET="...), env.DSN.Return...)
	}
	if env.DSN.EnvelopeID != "" {
		b = appendXtext(append(b, " ENVID="...), env.DSN.EnvelopeID)
	}
	if env.RequireTLS {
		b = append(b, " REQUIRETLS"...)
	}
	b, err := appendDelivery(b, env)
	if err != nil {
		return err
	}
	if b, err = appendSubmitter(b, env.Submitter); err != nil {
		return err
	}
	p.text, err = appendParams(b, env.Params)
	return err
}

// appendSubmitter appends AUTH= of RFC 4954, 5.
func appendSubmitter(b []byte, submitter string) ([]byte, error) {
	switch submitter {
	case "":
		return b, nil
	case NullSender:
		return append(b, " AUTH=<>"...), nil
	}
	box, err := address.ParsePath(submitter)
	if err == nil && box.NeedsSMTPUTF8() {
		err = errors.New("not ASCII")
	}
	if err != nil {
		return b, fmt.Errorf("submitter %q: %w", submitter, err)
	}
	return appendXtext(append(b, " AUTH="...), string(box.Append(nil))), nil
}

// writeRcpt writes one RCPT command.
func (p *plan) writeRcpt(planned *plannedRcpt, r *Recipient) error {
	var box address.Mailbox
	if addr := address.Bare(r.Addr); strings.EqualFold(addr, "Postmaster") {
		box.Local = addr // RFC 5321, 4.1.1.3: the one name without a domain
	} else if addr == "" {
		return errors.New("the null path is not a recipient")
	} else {
		var err error
		if box, err = address.Parse(addr); err != nil {
			return err
		}
	}
	if err := r.Notify.check(); err != nil {
		return err
	}
	notify := r.Notify
	if notify == 0 {
		notify = p.env.DSN.Notify
	}
	from := len(p.text)
	b := append(box.Append(append(p.text, "RCPT TO:<"...)), '>')
	path := len(b)
	if notify != 0 {
		b = append(append(b, " NOTIFY="...), notify.String()...)
	}
	if r.ORCPT != "" {
		var err error
		if b, err = appendORCPT(append(b, " ORCPT="...), r.ORCPT); err != nil {
			return err
		}
	}
	b, err := appendValidSince(b, r.ValidSince)
	if err != nil {
		return err
	}
	if b, err = appendParams(b, r.Params); err != nil {
		return err
	}
	p.text = b
	planned.line, planned.options = span{from, len(b)}, span{path, len(b)}
	planned.dsn = r.Notify != 0 || r.ORCPT != ""
	planned.rrvs = !r.ValidSince.IsZero()
	planned.utf8 = box.NeedsSMTPUTF8()
	planned.params = slices.Clone(r.Params)
	return nil
}

// check holds the plan against what a server offers and the connection is. What
// the server lacks for single recipients of a partial plan is in lacks, with an
// entry for each recipient, nil when it lacks nothing.
func (p *plan) check(ext Extensions, secure bool) (lacks []error, err error) {
	if err := p.checkMail(ext, secure); err != nil {
		return nil, &SenderError{Addr: p.from, Err: err}
	}
	var errs []error
	for i := range p.rcpts {
		r := &p.rcpts[i]
		if r.err != nil {
			errs = append(errs, r.err)
			continue
		}
		if err := r.check(ext); err != nil {
			if lacks == nil {
				lacks = make([]error, len(p.rcpts))
			}
			lacks[i] = &AddressError{Addr: r.addr, Err: err}
			errs = append(errs, lacks[i])
		}
	}
	if lacks == nil {
		return nil, nil
	}
	return lacks, p.stops(errs)
}

// checkMail holds what concerns the message as a whole against what is offered.
func (p *plan) checkMail(ext Extensions, secure bool) error {
	env := &p.env
	needs := [...]struct {
		asked   bool
		keyword string
		what    string
	}{
		{env.DSN.Return != "" || env.DSN.EnvelopeID != "" || env.DSN.Notify != 0, extDSN, "delivery status notifications"},
		{env.Submitter != "", extAuth, "Submitter"},
		{env.RequireTLS, extRequireTLS, "RequireTLS"},
		{env.Priority != 0, extMTPriority, "Priority"},
		{env.HoldFor != 0, extFutureRelease, "HoldFor"},
		{!env.HoldUntil.IsZero(), extFutureRelease, "HoldUntil"},
		{env.DeliverBy != DeliverBy{}, extDeliverBy, "DeliverBy"},
		{env.UTF8, extSMTPUTF8, "UTF8"},
		{env.Body == Body8BitMIME, ext8BitMIME, "an 8-bit body"},
		{env.Body == BodyBinaryMIME, extBinaryMIME, "a binary body"},
		{env.Body == BodyBinaryMIME, extChunking, "a binary body"},
		{p.utf8, extSMTPUTF8, "a sender that is not ASCII"},
	}
	for _, n := range needs {
		if n.asked && !ext.Has(n.keyword) {
			return unsupported(n.keyword, n.what)
		}
	}
	if env.RequireTLS && !secure {
		return fmt.Errorf("%w: RequireTLS on a connection without TLS", ErrUnsupported)
	}
	if err := checkDelivery(env, ext); err != nil {
		return err
	}
	return offered(ext, env.Params)
}

func (r *plannedRcpt) check(ext Extensions) error {
	if r.utf8 && !ext.Has(extSMTPUTF8) {
		return unsupported(extSMTPUTF8, "an address that is not ASCII")
	}
	if r.dsn && !ext.Has(extDSN) {
		return unsupported(extDSN, "delivery status notifications")
	}
	if r.rrvs && !ext.Has(extRRVS) {
		return unsupported(extRRVS, "ValidSince")
	}
	return offered(ext, r.params)
}
