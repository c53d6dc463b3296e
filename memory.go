package submission

import "github.com/fe022423/submission/internal/address"

// memory is what a message needs while it is on its way, used again for the next.
type memory struct {
	in    []byte // what was read from a source
	hold  []byte // canonical octets held back; a chunk
	out   []byte // octets in wire form
	mail  []byte // the MAIL command
	line  []byte // any other command
	boxes []address.Mailbox
}

func newMemory() any {
	return &memory{
		in:   make([]byte, readBlock),
		hold: make([]byte, 0, holdBack+2*feedBlock),
		out:  make([]byte, 0, holdBack+3*feedBlock),
	}
}
