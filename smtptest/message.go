package smtptest

import (
	"slices"
	"time"
)

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

	Priority   int           // MT-PRIORITY of RFC 6710, 0 without it
	HoldFor    time.Duration // HOLDFOR of RFC 4865, 0 without it
	HoldUntil  time.Time     // HOLDUNTIL of RFC 4865 in UTC, zero without it
	DeliverBy  DeliverBy     // BY of RFC 2852, zero without it
	ValidSince []time.Time   // RRVS of RFC 7293 in UTC, in the order of To, zero without it
}

// DeliverBy is what BY says (RFC 2852, 4).
type DeliverBy struct {
	Within time.Duration // whole seconds, negative when they are over
	Return bool          // by-mode R: return the message when it is late; N only notifies
	Trace  bool          // T: report each relay
}

// copy copies all of it.
func (m Message) copy() Message {
	m = m.clone()
	m.Data = slices.Clone(m.Data)
	return m
}

// clone copies the envelope; Data stays shared.
func (m Message) clone() Message {
	m.Params = slices.Clone(m.Params)
	m.To = slices.Clone(m.To)
	m.ValidSince = slices.Clone(m.ValidSince)
	m.RcptParams = slices.Clone(m.RcptParams)
	for i, p := range m.RcptParams {
		m.RcptParams[i] = slices.Clone(p)
	}
	return m
}
