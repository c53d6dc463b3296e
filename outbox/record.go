package outbox

import (
	"io"
	"time"

	"github.com/fe022423/submission"
)

// ID names a message of an Outbox. It is made of letters and digits. A message with a key has
// the same ID wherever it is queued; one without has a random one.
type ID string

// Status is where a message stands.
type Status string

const (
	// Queued: it was stored, or Retry was called, and no attempt was made since.
	Queued Status = "queued"
	// Deferred: it is tried again, not before Record.NotBefore.
	Deferred Status = "deferred"
	// Committing: a worker is about to end the message, or waits for the verdict of the
	// server. If the worker dies now, the message becomes uncertain.
	Committing Status = "committing"
	// Sent: the server accepted it for every recipient.
	Sent Status = "sent"
	// PartlySent: the server accepted it for some recipients and refused others for good.
	PartlySent Status = "partly sent"
	// Failed: it was refused for good, or its time ran out, and nobody has it.
	Failed Status = "failed"
	// Held: only you can decide. Either some recipients are uncertain, which means that they
	// may have it, or the message cannot be read, or sending it panicked, or five attempts in a
	// row ended with their process; Record.Err has the reason. See Outbox.Retry and Outbox.Resolve.
	Held Status = "held"
	// Canceled: Cancel was called in time.
	Canceled Status = "canceled"
	// Dropped: Resolve was called with Discard, or the outcome was uncertain under the
	// policy Drop.
	Dropped Status = "dropped"
)

// Policy says what happens to a message whose outcome is unknown: the connection, or the
// process, was lost between the last byte of the message and the verdict of the server.
type Policy uint8

const (
	// AsWorker leaves it to WorkOptions.OnUncertain. There it means Hold.
	AsWorker Policy = iota
	// Hold keeps it until Retry or Resolve is called: it is never sent twice.
	Hold
	// Resend sends it again: it may arrive twice. Record.Uncertain counts how often.
	Resend
	// Drop gives it up: it may not have arrived.
	Drop
)

// Priority decides which messages that are due are sent first.
type Priority uint8

const (
	Normal Priority = iota
	High
	Low
)

// Item says how the queue is to treat a message. The zero value, and nil, is a message that is
// due at once, without a key.
type Item struct {
	// Key makes Enqueue repeatable: as long as the record of a message exists, another one
	// with its key is refused with ErrDuplicate. At most 256 bytes; "" is no key.
	Key string
	// NotBefore is the time before which no attempt is made. The zero time is at once.
	NotBefore time.Time
	// Deadline is the time after which no attempt begins: the message has then failed. The
	// zero time leaves it to WorkOptions.MaxAge.
	Deadline time.Time
	// Priority decides which messages go first.
	Priority Priority
	// Route is handed to WorkOptions.Client, which may choose a server by it, and can be
	// paused. At most 128 bytes.
	Route string
	// OnUncertain overrides WorkOptions.OnUncertain for this message.
	OnUncertain Policy
	// Headers are notes of yours, stored with the message and never sent. At most 4 KiB.
	Headers map[string]string
}

// Message is what EnqueueAll queues.
type Message struct {
	Envelope submission.Envelope
	Body     io.Reader
	Item     *Item // nil is the zero Item
}

// Record says where a message stands. It outlives the message by Options.Keep once it was
// sent, canceled or dropped.
type Record struct {
	ID         ID
	Key, Route string
	Status     Status
	// Attempts counts the attempts that are over or were marked.
	Attempts int
	// Uncertain counts how often it was given free to be sent again although the server
	// may have accepted it: by the policy Resend, or by Retry. No more than so many
	// duplicates can exist.
	Uncertain int
	// Enqueued is when Enqueue stored it.
	Enqueued time.Time
	// NotBefore is when the next attempt is due; zero is at once.
	NotBefore time.Time
	// Recipients are those of the envelope, in its order. They are missing when the record or
	// the message cannot be read.
	Recipients []RecipientRecord
	// Headers are those of the Item.
	Headers map[string]string
	// Err says why it was not sent, in one line; "" when nothing is known against it.
	Err string
}

// RecipientRecord says where a message stands for one recipient.
type RecipientRecord struct {
	Addr string
	// Status is Queued as long as it is to be sent to it, Sent, Failed if it was refused for
	// good, or Held if it may have the message and that is not known.
	Status Status
	// Reply is what the server last said about the recipient or the message, in one line.
	Reply string
}

// Verdict is what you say about a message with Outbox.Resolve.
type Verdict uint8

const (
	// WasSent: you know that it arrived, for everyone who is not Sent yet.
	WasSent Verdict = iota + 1
	// Discard: it is not to be sent any more.
	Discard
)
