package relay

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/fe022423/submission"
	"github.com/fe022423/submission/outbox"
)

// rowVersion is the version of the columns envelope, item and body. A reader takes no other one,
// and no field that it does not know: an option that it silently left out could be the one that
// mattered.
const rowVersion = 1

// row is a row of the table.
type row struct {
	seq            int64
	id             string
	version        string // SQLite may have anything here
	envelope, item string // JSON
	body           []byte
	tried          string // "" is NULL

	fate fate
	why  string // of a parked one
}

// fate is what becomes of a row in a round.
type fate uint8

const (
	untouched fate = iota // it is in the queue no more than before the round
	uncertain             // perhaps it is in the queue now
	moved                 // it is in the queue: it may go
	parked                // it can never be moved
)

// key is the key in the queue: your own, or the id, so that the row is recognized if it is moved
// twice.
func (r *row) key(it *outbox.Item) string {
	if it == nil || it.Key == "" {
		return r.id
	}
	return it.Key
}

// message is what the row holds, but for its body.
func (r *row) message() (env submission.Envelope, it *outbox.Item, err error) {
	if r.version != strconv.Itoa(rowVersion) {
		return env, nil, fmt.Errorf("row of version %.20q: this program reads version %d", r.version, rowVersion)
	}
	if r.id == "" {
		return env, nil, errors.New("row without an id")
	}
	it = &outbox.Item{}
	if err := decode(r.envelope, &env); err != nil {
		return env, nil, fmt.Errorf("the envelope cannot be read: %w", err)
	}
	if err := decode(r.item, it); err != nil {
		return env, nil, fmt.Errorf("the item cannot be read: %w", err)
	}
	it.Key = r.key(it)
	err = outbox.Message{Envelope: env, Body: strings.NewReader(""), Item: it}.Check()
	return env, it, err
}

// since is when the row was first tried. One whose time cannot be read was tried long ago.
func (r *row) since() time.Time {
	t, err := time.Parse(time.RFC3339, r.tried)
	if err != nil {
		return time.Time{}
	}
	return t
}

// encode is the JSON of v in ASCII. JSON has no words for what is not UTF-8: two different
// keys would become one.
func encode(v any) (string, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return "", err
	}
	// It writes `\ufffd` only for what is not UTF-8, unless the "\" is itself escaped.
	if bytes.Contains(bytes.ReplaceAll(b, []byte(`\\`), nil), []byte(`\ufffd`)) {
		return "", errors.New("it holds text that is not UTF-8")
	}
	var s strings.Builder
	for _, c := range string(b) {
		switch {
		case c < utf8.RuneSelf:
			s.WriteRune(c)
		case c > 0xffff:
			hi, lo := utf16.EncodeRune(c)
			fmt.Fprintf(&s, `\u%04x\u%04x`, hi, lo)
		default:
			fmt.Fprintf(&s, `\u%04x`, c)
		}
	}
	return s.String(), nil
}

func decode(text string, v any) error {
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("something follows it")
	}
	return nil
}

// maxError bounds the column error, which has 255 characters in MySQL.
const maxError = 250

// oneLine is a text as the column error takes it: ASCII, one line.
func oneLine(s string) string {
	s = strings.Map(func(c rune) rune {
		if c < ' ' || c > '~' {
			return '?'
		}
		return c
	}, s)
	return s[:min(len(s), maxError)]
}
