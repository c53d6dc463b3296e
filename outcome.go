package submission

// Outcome is what became of a message that did not reach everyone.
type Outcome uint8

const (
	// NotSent: the server did not accept the message for anyone. Sending it
	// again cannot deliver it twice.
	NotSent Outcome = iota
	// PartlySent: the server accepted it for the recipients with Status RecipientSent.
	PartlySent
	// Unknown: the connection failed after the last octet went out and before
	// the server's verdict came in. The recipients with Status RecipientUncertain may
	// have it: sending again may deliver twice, not sending may lose it.
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
