package submission

import "time"

// NullSender as Envelope.From sends MAIL FROM:<>, the reverse-path of reports
// and automatic answers, to which nothing is ever returned.
const NullSender = "<>"

// Envelope says who a message is from, whom it goes to and what the server is asked
// to do with it. It is checked as a whole before anything is sent. Nothing that you
// ask for here is silently dropped: when the server does not offer it, the send fails
// with ErrUnsupported. It is copied, so you may change it afterwards. The message
// itself is not part of it, and no header field is read or written; ReadEnvelope makes an
// Envelope of what a message says.
type Envelope struct {
	// From is the sender, "local@domain", which may stand in one pair of angle brackets.
	// Empty means Options.From. A display name is refused.
	From string
	// To are the recipients, at least one. A recipient that is listed twice is
	// sent to twice.
	To []Recipient
	// Partial delivers to the recipients that were accepted although others
	// were refused. Send then returns a *SendError with Outcome PartlySent
	// beside the Result. Without it one refused recipient stops the message.
	//
	// With Partial a message for more recipients than the server takes in one
	// transaction goes out in several, one after the other: to as many as LIMITS names
	// (RCPTMAX and RCPTDOMAINMAX of RFC 9422), or as the server accepted before it
	// answered others with 452 "too many recipients" (RFC 5321, 4.5.3.1.10). Each
	// recipient is sent it once, and the Result is about all of them. A message of more
	// than 64 KiB must then come from an io.ReadSeeker: otherwise it fails with
	// ErrOutOfRange where LIMITS says so beforehand, and those with a 452 are unsent.
	// A failure that is not about single recipients stops the transactions that would
	// follow. Without Partial a message beyond LIMITS fails with ErrOutOfRange and
	// nothing is sent.
	Partial bool
	// DSN asks for delivery status notifications.
	DSN DSN
	// Body is the body type; empty lets the client find out by looking at the
	// message.
	Body BodyType
	// UTF8 asks for SMTPUTF8 (RFC 6531), which a message whose header section
	// holds UTF-8 needs. Addresses that need it ask for it by themselves.
	UTF8 bool
	// RequireTLS asks that the message travels over TLS on every hop (RFC 8689).
	RequireTLS bool
	// Submitter is who submitted the message, for AUTH= of RFC 4954, 5: an address as
	// in From. "<>" means unknown. Empty sends nothing.
	Submitter string
	// Size is the size in bytes to announce for a message of more than 64 KiB,
	// which the client cannot measure before it sends; 0 means unknown. A shorter
	// message is measured.
	Size int64
	// Priority is how urgent the message is to the servers on its way, from -9, the
	// least, to 9: MT-PRIORITY of RFC 6710. 0 says nothing, which a server takes for
	// the priority 0. How many levels there are, and what they mean, depends on the
	// profile of the server; Extensions.Param("MT-PRIORITY") is its name, if it has one.
	Priority int
	// HoldFor asks the server to keep the message for that long before it delivers it,
	// counted from when the server gets it, in seconds, rounded up: HOLDFOR of
	// RFC 4865. It is not negative and is at most 999999999 seconds; if the server
	// names a shorter limit, that is the limit. Beyond it the send fails with
	// ErrOutOfRange. 0 says nothing.
	HoldFor time.Duration
	// HoldUntil asks the server to keep the message until then: HOLDUNTIL of RFC 4865.
	// It is sent in UTC, rounded up to a second. A time that has passed is left to the
	// server. If the server names an earlier limit, the send
	// fails with ErrOutOfRange. The zero time says nothing. HoldFor and HoldUntil
	// cannot both be set.
	HoldUntil time.Time
	// DeliverBy asks the server to deliver the message in time, or to report that it
	// could not: BY of RFC 2852. The zero value says nothing.
	DeliverBy DeliverBy
	// Params are further parameters of MAIL, "KEY" or "KEY=value". The server must
	// offer their extension. A parameter that has a field in Envelope is refused
	// here.
	Params []string
}

// Recipient is one recipient of a message.
type Recipient struct {
	// Addr is "local@domain", or "Postmaster" alone. It may stand in one pair of angle
	// brackets, as some libraries hand it out. A display name is refused; ParseTo reads
	// addresses with names.
	Addr string
	// Notify overrides Envelope.DSN.Notify; zero leaves it.
	Notify Notify
	// ORCPT is the original recipient (RFC 3461, 4.2), "type;address". An
	// address without a type is of type rfc822, or utf-8 when it is not ASCII.
	ORCPT string
	// ValidSince is a time when you knew that the address belonged to the recipient:
	// RRVS of RFC 7293. A server refuses the recipient if the mailbox has changed hands
	// since. It is sent in UTC, without the part of a second. The zero time says
	// nothing.
	ValidSince time.Time
	// Params are further parameters of RCPT, "KEY" or "KEY=value". The server must
	// offer their extension.
	Params []string
}

// To makes recipients of bare addresses.
func To(addrs ...string) []Recipient {
	list := make([]Recipient, len(addrs))
	for i, addr := range addrs {
		list[i].Addr = addr
	}
	return list
}

// BodyType is the value of the BODY parameter of MAIL.
type BodyType string

// The body types. Empty lets the client choose: 8BITMIME when a byte above 0x7f is
// seen, or may be in the part of a long message that is not seen yet.
const (
	// Body7Bit promises that no byte is above 0x7f.
	Body7Bit BodyType = "7BIT"
	// Body8BitMIME allows bytes above 0x7f in lines (RFC 6152).
	Body8BitMIME BodyType = "8BITMIME"
	// BodyBinaryMIME sends the bytes as they are, line endings untouched, in BDAT
	// chunks (RFC 3030). The server must offer BINARYMIME and CHUNKING.
	BodyBinaryMIME BodyType = "BINARYMIME"
)
