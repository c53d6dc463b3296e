package smtptest

import "slices"

// Message is a message that a Server accepted, or what it has of a message so far.
type Message struct {
	From       string     // the reverse-path without its brackets, "" for <>
	Params     []string   // the parameters of MAIL as received: "SIZE=120"
	To         []string   // the accepted forward-paths without their brackets
	RcptParams [][]string // the parameters of each RCPT, in the order of To
	Data       []byte     // lines with CRLF, without the dots that DATA adds; chunks of BDAT joined as they came
	Size       int64      // bytes of the message, also with Config.Discard
	TLS        bool       // it came over TLS
	Auth       string     // the authenticated user, "" for none
	Session    int        // the number of its session, from 1
	Chunked    bool       // it came with BDAT
}

// clone copies the envelope; Data stays shared.
func (m Message) clone() Message {
	m.Params = slices.Clone(m.Params)
	m.To = slices.Clone(m.To)
	m.RcptParams = slices.Clone(m.RcptParams)
	for i, p := range m.RcptParams {
		m.RcptParams[i] = slices.Clone(p)
	}
	return m
}
