package submission

// Result says that the server accepted a message: from here on the server must deliver
// it, or report that it could not.
type Result struct {
	// Recipients has an entry for each of Envelope.To, in its order.
	Recipients []RecipientResult
	// Reply is the server's last word on the message, which often names its
	// queue identifier. With Options.LMTP, and when the message went out in several
	// transactions (see Envelope.Partial), it is the last one that accepts.
	Reply Reply
	// Bytes is the size of the message as sent, each line ending a CRLF, without the
	// dots that DATA doubles.
	Bytes int64
}

// RecipientResult is what became of one recipient.
type RecipientResult struct {
	// Addr is the address as you gave it.
	Addr string
	// Status says whether the message goes to it.
	Status RecipientStatus
	// Reply is the server's answer to its RCPT; zero when there was none. With
	// Options.LMTP it is the final reply for this recipient, once that has come.
	Reply Reply
}

// RecipientStatus is what became of a recipient.
type RecipientStatus uint8

const (
	// RecipientUnsent: nothing is known against the address for good, but the
	// message was not sent to it. A refusal with 4yz leaves it so, and so does a
	// server that lacks an extension that the recipient asks for; the reason is
	// then in SendError.Err.
	RecipientUnsent RecipientStatus = iota
	// RecipientSent: the server accepted the message for it.
	RecipientSent
	// RecipientInvalid: the server refused the address for good, or it is not a mailbox.
	RecipientInvalid
	// RecipientUncertain: not refused, and the outcome of the message is Unknown.
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

// Outcome is what became of a message that did not reach everyone.
type Outcome uint8

const (
	// NotSent: the server did not accept the message for anyone. Sending it
	// again cannot deliver it twice.
	NotSent Outcome = iota
	// PartlySent: the server accepted it for the recipients with Status
	// RecipientSent.
	PartlySent
	// Unknown: the last byte of the message went out, and no verdict of the server
	// came that can be believed. The recipients with Status RecipientUncertain may
	// have the message: sending it again may deliver it twice, not sending it may
	// lose it. Others may be RecipientSent all the same: with Options.LMTP, when the message
	// went out in several transactions (see Envelope.Partial), and those whom an earlier
	// attempt of a Retry reached.
	Unknown
)

// String names the outcome in words.
func (o Outcome) String() string {
	switch o {
	case NotSent:
		return "not sent"
	case PartlySent:
		return "partly sent"
	default:
		return "outcome unknown"
	}
}
