package mimefield

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/quotedprintable"
	"strings"
	"unicode/utf8"
)

// Decode returns octets of a character set as text. Without a character set they are
// US-ASCII, or UTF-8 if they are valid as that.
func Decode(charset string, octets []byte) (string, error) {
	switch strings.ToLower(charset) {
	case "":
		if !utf8.Valid(octets) {
			return "", errors.New("octets above 0x7f without a character set")
		}
	case "utf-8", "utf8":
		if !utf8.Valid(octets) {
			return "", errors.New("the octets are not UTF-8")
		}
	case "us-ascii", "ascii":
		if bytes.ContainsFunc(octets, func(c rune) bool { return c >= utf8.RuneSelf }) {
			return "", errors.New("the octets are not US-ASCII")
		}
	case "iso-8859-1", "latin1":
		runes := make([]rune, len(octets))
		for i, c := range octets {
			runes[i] = rune(c)
		}
		return string(runes), nil
	default:
		return "", errCharset(charset)
	}
	return string(octets), nil
}

func errCharset(name string) error {
	return fmt.Errorf("character set %q: only UTF-8, US-ASCII and ISO-8859-1 are known", name)
}

// WordDecoder decodes encoded words of the character sets that Decode knows.
var WordDecoder = &mime.WordDecoder{CharsetReader: func(charset string, input io.Reader) (io.Reader, error) {
	octets, err := io.ReadAll(input)
	if err != nil {
		return nil, err
	}
	charset, _, _ = strings.Cut(charset, "*") // the language of RFC 2231, 5
	text, err := Decode(charset, octets)
	return strings.NewReader(text), err
}}

// Words decodes encoded words. What only looks like one stays as it is.
func Words(text string) (string, error) { return WordDecoder.DecodeHeader(text) }

// badEscape finds a "=" that stands before neither two digits nor the end of a line. The
// standard library leaves it as it is.
func badEscape(body []byte) []byte {
	for i, c := range body {
		if c != '=' {
			continue
		}
		after := body[i+1:]
		if len(after) >= 2 && isHex(after[0]) && isHex(after[1]) {
			continue
		}
		line, _, _ := bytes.Cut(after, []byte("\n"))
		if len(bytes.TrimRight(line, " \t\r")) > 0 {
			return body[i:min(len(body), i+3)]
		}
	}
	return nil
}

func isHex(c byte) bool { return strings.IndexByte("0123456789ABCDEFabcdef", c) >= 0 }

// Transfer undoes a Content-Transfer-Encoding (RFC 2045, 6); "" is none. In base64 only
// white space may stand beside the alphabet.
func Transfer(encoding string, body []byte) ([]byte, error) {
	if encoding == "" {
		return body, nil
	}
	name, _, err := Parse(encoding)
	if err != nil {
		return nil, err
	}
	switch name {
	case "7bit", "8bit", "binary":
		return body, nil
	case "quoted-printable":
		if bad := badEscape(body); bad != nil {
			return nil, fmt.Errorf("quoted-printable: %q is neither an octet nor the end of a line", bad)
		}
		body, err = io.ReadAll(quotedprintable.NewReader(bytes.NewReader(body)))
	case "base64":
		body = bytes.Join(bytes.Fields(body), nil)
		body, err = base64.StdEncoding.AppendDecode(nil, body)
	default:
		return nil, fmt.Errorf("transfer encoding %q is unknown", name)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return body, nil
}
