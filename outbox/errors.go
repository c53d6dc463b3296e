package outbox

import (
	"errors"
	"fmt"
	"strings"
)

// Causes that errors.Is finds. Their texts begin with "outbox: " and the name of the step.
var (
	// ErrDuplicate: a message with this key and the same content is in the queue, or was.
	// The ID that stands beside it is that message's. It is no failure: the message is safe.
	ErrDuplicate = errors.New("the key was used for this message before")
	// ErrConflict: a message with this key and other octets or another envelope is in the
	// queue, or was. The ID that stands beside it is that message's; the new one was not stored.
	ErrConflict = errors.New("the key was used for another message")
	// ErrFull: there is no room. The message was not stored.
	ErrFull = errors.New("the queue is full")
	// ErrNotFound: there is no such message, or its record has expired.
	ErrNotFound = errors.New("no such message")
	// ErrClosed: the Outbox was closed.
	ErrClosed = errors.New("closed")
)

var (
	errMoved      = errors.New("the record was changed meanwhile")
	errStopped    = errors.New("stopped before it began")
	errUnreadable = errors.New("its record cannot be read")
	// errHalfStored: the engine breaks its promise of all or none.
	errHalfStored = errors.New("the engine stored a part of a batch")
	errAbandoned  = errors.New("abandoned") // by a test, in place of a crash
)

func failed(step string, err error) error {
	if err == nil {
		return nil
	}
	if strings.HasPrefix(err.Error(), "outbox: ") {
		return err
	}
	return fmt.Errorf("outbox: %s: %w", step, err)
}
