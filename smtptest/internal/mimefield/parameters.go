package mimefield

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
)

// parameter is what a field says of one name.
type parameter struct {
	name  string
	plain *string          // name=...
	whole *string          // name*=..., as in RFC 2231, 4
	parts map[int]fragment // name*0=... and name*0*=..., as in RFC 2231, 3
}

// fragment is one part of a parameter.
type fragment struct {
	text    string
	encoded bool
}

// parameters are those of a field, in their order.
type parameters []*parameter

// add adds what the field says of a name, which may end as RFC 2231 has it.
func (list *parameters) add(key, text string) error {
	name, rest, extended := strings.Cut(key, "*")
	p := list.of(name)
	target := &p.plain
	switch {
	case extended && rest == "":
		target = &p.whole
	case extended:
		return p.addPart(rest, text)
	}
	if *target != nil {
		return fmt.Errorf("%s is given twice", name)
	}
	*target = &text
	return nil
}

// of returns the parameter of that name, a new one if there is none.
func (list *parameters) of(name string) *parameter {
	for _, p := range *list {
		if p.name == name {
			return p
		}
	}
	p := &parameter{name: name, parts: map[int]fragment{}}
	*list = append(*list, p)
	return p
}

func (p *parameter) addPart(number, text string) error {
	digits, encoded := strings.CutSuffix(number, "*")
	n, err := strconv.Atoi(digits)
	if err != nil || strconv.Itoa(n) != digits || n < 0 {
		return fmt.Errorf("part %s of %s: not a number as RFC 2231 has it", digits, p.name)
	}
	if _, ok := p.parts[n]; ok {
		return fmt.Errorf("part %d of %s is given twice", n, p.name)
	}
	p.parts[n] = fragment{text, encoded}
	return nil
}

// join returns the text of each parameter. Where a field has it in several forms, that of
// RFC 2231 counts: the other is for programs that do not know it.
func (list parameters) join() (map[string]string, error) {
	params := map[string]string{}
	for _, p := range list {
		text, err := p.text()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.name, err)
		}
		params[p.name] = text
	}
	return params, nil
}

func (p *parameter) text() (string, error) {
	switch {
	case len(p.parts) > 0:
		return p.joinParts()
	case p.whole != nil:
		charset, octets, err := decodeFirst(*p.whole)
		if err != nil {
			return "", err
		}
		return Decode(charset, octets)
	}
	return Words(*p.plain)
}

// joinParts decodes the parts after it has joined them: a character may begin in one part
// and end in the next.
func (p *parameter) joinParts() (string, error) {
	charset := ""
	var all []byte
	for i := range len(p.parts) {
		part, ok := p.parts[i]
		if !ok {
			return "", fmt.Errorf("part %d of %s is missing", i, p.name)
		}
		octets := []byte(part.text)
		var err error
		switch {
		case part.encoded && i == 0:
			charset, octets, err = decodeFirst(part.text)
		case part.encoded:
			octets, err = percentDecode(part.text)
		}
		if err != nil {
			return "", err
		}
		all = append(all, octets...)
	}
	return Decode(charset, all)
}

// decodeFirst splits charset'language'text.
func decodeFirst(s string) (charset string, octets []byte, err error) {
	parts := strings.SplitN(s, "'", 3)
	if len(parts) != 3 {
		return "", nil, errors.New("no character set and language, which end with ' each (RFC 2231, 4)")
	}
	octets, err = percentDecode(parts[2])
	return parts[0], octets, err
}

func percentDecode(s string) ([]byte, error) {
	text, err := url.PathUnescape(s)
	if err != nil {
		return nil, fmt.Errorf("malformed percent sign: %q", s)
	}
	return []byte(text), nil
}
