package submission

// Result is the server's acceptance of a message: from here on it is the
// server's to deliver or to report.
type Result struct {
	// Recipients has an entry for each of Envelope.To, in its order.
	Recipients []RecipientResult
	// Reply is the server's last word on the message, which often names its
	// queue identifier.
	Reply Reply
	// Bytes counts the message's octets as sent, line endings made canonical,
	// before dot-stuffing.
	Bytes int64
}

// tally is a Result with room for the recipient that most messages have.
type tally struct {
	Result
	one [1]RecipientResult
}

// RecipientResult is what became of one recipient.
type RecipientResult struct {
	// Addr is the address as the caller gave it.
	Addr string
	// Status says whether the message goes to it.
	Status RecipientStatus
	// Reply answered its RCPT; zero when it was never asked about.
	Reply Reply
}

// RecipientStatus is what became of a recipient.
type RecipientStatus uint8

const (
	// RecipientUnsent: nothing is wrong with the address as far as is known, but the
	// message was not sent to it. A refusal with 4yz leaves it here.
	RecipientUnsent RecipientStatus = iota
	// RecipientSent: the server accepted the message for it.
	RecipientSent
	// RecipientInvalid: the server refused the address for good, or it is no mailbox.
	RecipientInvalid
	// RecipientUncertain: accepted, but the outcome of the message is Unknown.
	RecipientUncertain
)

// String names the status in a word.
func (s RecipientStatus) String() string {
	switch s {
	case RecipientUnsent:
		return "unsent"
	case RecipientSent:
		return "sent"
	case RecipientInvalid:
		return "invalid"
	default:
		return "uncertain"
	}
}
