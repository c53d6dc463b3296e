package smtptest

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// stepKind is what a line of a script wants.
type stepKind uint8

const (
	stepSend   stepKind = iota // the server sends segments
	stepExpect                 // the client must send data
	stepAny                    // the client must send count octets
	stepStall
	stepClose
	stepReset
	stepEOF // the client must close
)

// step is one line of a script, or several S lines that are delivered joined.
type step struct {
	kind     stepKind
	line     int    // of the script, from 1
	source   string // the line itself, for reports
	data     []byte // what is expected, or sent
	count    int
	segments [][]byte // data as it is delivered
	due      int      // octets of data that the client must read before it sends more
	asked    []asked  // the S lines in data that the client must read
}

// asked is an S line that the client asked for.
type asked struct {
	at     int // where it begins in the data of its step
	line   int
	source string
}

// delivery is how S lines become segments.
type delivery uint8

const (
	deliverWhole delivery = iota
	deliverBytes
	deliverJoined
)

// scriptError is a mistake in a line of a script.
type scriptError struct {
	line   int
	source string
	err    error
}

func (e *scriptError) Error() string {
	return fmt.Sprintf("line %d: %v: %s", e.line, e.err, e.source)
}

var (
	errUnknownStep = errors.New("not a step of a script")
	errAfterStall  = errors.New("only C lines and eof may follow stall and close")
	errAfterReset  = errors.New("only eof may follow reset")
	errAfterEOF    = errors.New("nothing may follow eof")
	errBadCount    = errors.New("the count of C* must be a number of bytes, at least 1")
	errBadDelivery = errors.New("deliver needs whole, bytes or joined")
	errEmptyText   = errors.New("no text")
)

// parseScript parses the script of Play.
func parseScript(script string) ([]step, error) {
	var steps []step
	mode := deliverWhole
	fresh := true // the next S line begins a segment of its own
	n := 0
	for line := range strings.SplitSeq(script, "\n") {
		n++
		line = strings.TrimLeft(strings.TrimSuffix(line, "\r"), " \t")
		if line == "" || line[0] == '#' {
			continue
		}
		if word, arg, _ := strings.Cut(line, " "); word == "deliver" {
			var ok bool
			if mode, ok = parseDelivery(arg); !ok {
				return nil, &scriptError{n, line, errBadDelivery}
			}
			fresh = true
			continue
		}
		st, err := parseStep(line)
		if err == nil {
			err = mayFollow(steps, st.kind)
		}
		if err != nil {
			return nil, &scriptError{n, line, err}
		}
		st.line, st.source = n, line
		if st.due > 0 {
			st.asked = []asked{{0, n, line}}
		}
		if last := len(steps) - 1; mode == deliverJoined && !fresh && st.kind == stepSend && steps[last].kind == stepSend {
			steps[last].join(st)
			continue
		}
		fresh = false
		steps = append(steps, st.segmented(mode))
	}
	return steps, nil
}

func parseDelivery(arg string) (delivery, bool) {
	i := slices.Index([]string{"whole", "bytes", "joined"}, strings.TrimSpace(arg))
	return delivery(max(i, 0)), i >= 0
}

// parseStep parses one line that is a step.
func parseStep(line string) (step, error) {
	switch strings.TrimRight(line, " \t") {
	case "stall":
		return step{kind: stepStall}, nil
	case "close":
		return step{kind: stepClose}, nil
	case "reset":
		return step{kind: stepReset}, nil
	case "eof":
		return step{kind: stepEOF}, nil
	}
	if len(line) < 2 {
		return step{}, errUnknownStep
	}
	text := strings.TrimPrefix(line[2:], " ")
	st := step{kind: stepExpect}
	if line[0] == 'S' {
		st.kind = stepSend
	}
	var err error
	switch line[:2] {
	case "S:", "S!", "C:":
		st.data = []byte(text + "\r\n")
	case "S>", "C>":
		st.data, err = unescape(text)
	case "C*":
		st.kind = stepAny
		if st.count, err = strconv.Atoi(strings.TrimSpace(text)); err != nil || st.count < 1 {
			err = errBadCount
		}
	default:
		return step{}, errUnknownStep
	}
	if st.kind == stepSend && line[:2] != "S!" {
		st.due = len(st.data)
	}
	return st, err
}

// mayFollow refuses a step that could never be taken.
func mayFollow(steps []step, kind stepKind) error {
	client := kind == stepExpect || kind == stepAny
	for _, before := range steps {
		switch before.kind {
		case stepEOF:
			return errAfterEOF
		case stepReset:
			if kind != stepEOF {
				return errAfterReset
			}
		case stepStall, stepClose:
			if !client && kind != stepEOF {
				return errAfterStall
			}
		}
	}
	return nil
}

// segmented cuts what a step sends into the segments in which it arrives.
func (st step) segmented(mode delivery) step {
	if st.kind != stepSend {
		return st
	}
	if mode != deliverBytes {
		st.segments = [][]byte{st.data}
		return st
	}
	for i := range st.data {
		st.segments = append(st.segments, st.data[i:i+1])
	}
	return st
}

// join appends what another S line sends to the same segment.
func (st *step) join(next step) {
	if next.due > 0 {
		st.due = len(st.data) + next.due
	}
	for _, a := range next.asked {
		a.at += len(st.data)
		st.asked = append(st.asked, a)
	}
	st.line, st.source = next.line, next.source
	st.data = append(st.data, next.data...)
	st.segments = [][]byte{st.data}
}

// unescape replaces the escapes of a Go string by the octets they stand for.
func unescape(text string) ([]byte, error) {
	var octets []byte
	for text != "" {
		c, multibyte, rest, err := strconv.UnquoteChar(text, 0)
		if err != nil {
			return nil, fmt.Errorf("escape: %w", err)
		}
		if multibyte || c < utf8.RuneSelf {
			octets = utf8.AppendRune(octets, c)
		} else {
			octets = append(octets, byte(c))
		}
		text = rest
	}
	if len(octets) == 0 {
		return nil, errEmptyText
	}
	return octets, nil
}
