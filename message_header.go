package submission

import (
	"bytes"
	"errors"
	"fmt"
	"net/mail"
	"strings"
)

// header is what a header section says of the envelope: the values of its address fields, by
// their names in lower case.
type header struct {
	fields map[string][]string
	resent map[string][]string // those of the newest Resent block, named without "resent-"

	block blockState
	seen  map[string]bool // the Resent fields of that block so far
	last  string          // the one of them that was read last, "" after another field
}

// blockState is how far the newest Resent block was read.
type blockState uint8

const (
	blockAhead blockState = iota
	blockOpen
	blockOver
)

// parse reads the fields of a header section. It returns the section without Bcc, in the
// place of text.
func (h *header) parse(text []byte) (kept []byte, err error) {
	if len(text) > 0 && isWSP(text[0]) {
		return nil, errors.New("header section: line 1 continues a field, and there is none before it")
	}
	kept = text[:0]
	for line := 1; len(text) > 0; {
		size, lines := fieldSize(text)
		name, value, ok := cutField(text[:size])
		if !ok && !(line == 1 && bytes.HasPrefix(text, []byte("From "))) { // a line of an mbox
			return nil, fmt.Errorf("header section: line %d is not a field: it has no colon", line)
		}
		h.note(name, value)
		if name != "bcc" && name != resentPrefix+"bcc" {
			kept = append(kept, text[:size]...)
		}
		text, line = text[size:], line+lines
	}
	return kept, nil
}

const resentPrefix = "resent-"

// note keeps the value of an address field.
func (h *header) note(name string, value []byte) {
	short, resent := strings.CutPrefix(name, resentPrefix)
	if !resent {
		if h.last = ""; h.block == blockOpen && (name == "received" || name == "return-path") {
			h.block = blockOver // a trace is in front of each block
		}
		keep(&h.fields, name, value)
		return
	}
	switch {
	case h.block == blockAhead:
		h.block, h.seen = blockOpen, map[string]bool{}
	case h.seen[short] && h.last != short:
		h.block = blockOver // a block has each field once, or in a row
	}
	if h.block == blockOpen {
		h.seen[short], h.last = true, short
		keep(&h.resent, short, value)
	}
}

// keep adds a value to those of its field, if that is one of addresses.
func keep(fields *map[string][]string, name string, value []byte) {
	switch name {
	case "sender", "from", "to", "cc", "bcc":
		if *fields == nil {
			*fields = map[string][]string{}
		}
		(*fields)[name] = append((*fields)[name], unfold(value))
	}
}

// cutField returns the name of a field in lower case, and its value; ok is false when it has
// no colon. There may be space before the colon (RFC 5322, 4.5), and a line may be folded
// there.
func cutField(field []byte) (name string, value []byte, ok bool) {
	front, value, ok := bytes.Cut(field, []byte(":"))
	if !ok {
		return "", nil, false
	}
	return lower(strings.TrimRight(unfold(front), " \t")), value, true
}

// lower puts ASCII letters in lower case, and no others: names of fields are ASCII.
func lower(s string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}

// unfold joins the lines of a field as net/mail does: with one space, and without the space
// around each line.
func unfold(text []byte) string {
	var b strings.Builder
	for len(text) > 0 {
		size := lineSize(text)
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		b.Write(bytes.Trim(bytes.TrimRight(text[:size], "\r\n"), " \t"))
		text = text[size:]
	}
	return b.String()
}

// fieldSize is the size of the first field of text, and the number of its lines.
func fieldSize(text []byte) (size, lines int) {
	for size, lines = lineSize(text), 1; size < len(text) && isWSP(text[size]); lines++ {
		size += lineSize(text[size:])
	}
	return size, lines
}

// lineSize is the size of the first line of text with its ending: CRLF, LF or CR.
func lineSize(text []byte) int {
	i := bytes.IndexAny(text, "\r\n")
	switch {
	case i < 0:
		return len(text)
	case bytes.HasPrefix(text[i:], []byte("\r\n")):
		return i + 2
	}
	return i + 1
}

func isWSP(c byte) bool { return c == ' ' || c == '\t' }

// addressField is a field of addresses: its key in a header, and its name.
type addressField struct{ key, name string }

var (
	recipientFields = []addressField{{"to", "To"}, {"cc", "Cc"}, {"bcc", "Bcc"}}
	senderFields    = []addressField{{"sender", "Sender"}, {"from", "From"}}
)

// deciding returns the values of those fields that decide, and what is in front of their
// names: the newest Resent block has the word where it has one of them.
func (h *header) deciding(fields []addressField) (values map[string][]string, front string) {
	for _, f := range fields {
		if h.resent[f.key] != nil {
			return h.resent, "Resent-"
		}
	}
	return h.fields, ""
}

// recipients returns whom the message is for.
func (h *header) recipients() ([]Recipient, error) {
	values, front := h.deciding(recipientFields)
	var to distinct
	for _, f := range recipientFields {
		for _, value := range values[f.key] {
			list, err := parseAddresses(value)
			if err != nil {
				return nil, &AddressError{Addr: value, Err: &fieldError{front + f.name, err}}
			}
			for _, a := range list {
				to.add(bareAddress(a))
			}
		}
	}
	if to.list == nil {
		return nil, &messageError{err: fmt.Errorf("%w: no address in %[2]sTo, %[2]sCc and %[2]sBcc", ErrNoRecipients, front)}
	}
	return to.list, nil
}

// sender returns whom the message is from, "" when it does not say that.
func (h *header) sender() (string, error) {
	values, front := h.deciding(senderFields)
	for _, f := range senderFields {
		all := strings.Join(values[f.key], ", ")
		refused := func(err error) error { return &SenderError{Addr: all, Err: &fieldError{front + f.name, err}} }
		var from distinct
		for _, value := range values[f.key] {
			list, err := parseAddresses(value)
			if err != nil {
				return "", refused(err)
			}
			from.addAll(list)
		}
		switch {
		case len(from.list) == 1:
			return from.list[0].Addr, nil
		case len(from.list) > 1 && f.key == "from":
			return "", refused(fmt.Errorf("%d addresses, and none in %sSender", len(from.list), front))
		case len(from.list) > 1:
			return "", refused(fmt.Errorf("%d addresses, of which there can be one", len(from.list)))
		}
	}
	return "", nil
}

// distinct is a list of recipients, each once.
type distinct struct {
	list  []Recipient
	known map[string]bool
}

func (d *distinct) addAll(list []*mail.Address) {
	for _, a := range list {
		d.add(bareAddress(a))
	}
}

// add adds a recipient that is not there yet. Two are the same when their local parts are
// equal and their domains differ in case only.
func (d *distinct) add(addr string) {
	key := addr
	if at := strings.LastIndexByte(addr, '@'); at >= 0 {
		key = addr[:at] + strings.ToLower(addr[at:])
	}
	if d.known[key] {
		return
	}
	if d.known == nil {
		d.known = map[string]bool{}
	}
	d.known[key] = true
	d.list = append(d.list, Recipient{Addr: addr})
}
