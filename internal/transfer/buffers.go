package transfer

import (
	"slices"
	"sync"

	"github.com/fe022423/submission/internal/link"
)

const (
	// smallBuffer is the most that a message keeps for the next one, in octets. What is
	// larger comes from a pool, and goes back as soon as the message is over.
	smallBuffer = 8 << 10
	// largeBuffer holds what is held back of a message, and what feeds it.
	largeBuffer = HoldBack + 4*feedBlock
	// keepAtMost is the largest buffer that goes back to a pool: a chunk of the default
	// size.
	keepAtMost = 1<<20 + 4*ReadBlock
	// ReadBlock is how much is read from a source at a time, in octets.
	ReadBlock = 64 << 10
)

// pools hold buffers of which no message has need: those of largeBuffer, and larger ones.
var pools [2]sync.Pool

// readBlocks holds blocks to read into.
var readBlocks = sync.Pool{New: func() any { return new([ReadBlock]byte) }}

// GetBlock returns a block to read into, which PutBlock takes back.
func GetBlock() *[ReadBlock]byte { return readBlocks.Get().(*[ReadBlock]byte) }

// PutBlock takes a block back. Whoever read into it must have let go of it.
func PutBlock(b *[ReadBlock]byte) { readBlocks.Put(b) }

// buffer is memory that grows with what is in it.
type buffer struct {
	b    []byte
	home *[]byte // what came from a pool; nil for what is the message's own
}

// reserve makes room for n octets more.
func (f *buffer) reserve(n int) { f.reserveFor(n, 0) }

// reserveFor is reserve for a buffer that will perhaps hold size octets, so that it need
// not grow by and by once it is large.
func (f *buffer) reserveFor(n, size int) {
	need := len(f.b) + n
	switch {
	case need <= cap(f.b):
	case need <= smallBuffer:
		f.b = slices.Grow(f.b, n)
	case need <= largeBuffer:
		f.move(0, largeBuffer)
	default:
		f.move(1, max(need+need/4, min(size, keepAtMost)))
	}
}

// move goes on in a buffer of a pool that holds size octets at least.
func (f *buffer) move(pool, size int) {
	old := *f
	f.home, _ = pools[pool].Get().(*[]byte)
	if f.home == nil || cap(*f.home) < size {
		fresh := make([]byte, 0, size)
		f.home = &fresh
	}
	f.b = append((*f.home)[:0], old.b...)
	old.release()
}

// release empties the buffer. What came from a pool goes back to it.
func (f *buffer) release() {
	if f.home == nil {
		f.b = f.b[:0]
		if cap(f.b) > smallBuffer {
			f.b = nil
		}
		return
	}
	if size := cap(f.b); size > cap(*f.home) { // it has grown since
		*f.home = f.b
	}
	switch size := cap(*f.home); {
	case size < 2*largeBuffer:
		pools[0].Put(f.home)
	case size <= keepAtMost:
		pools[1].Put(f.home)
	}
	*f = buffer{}
}

// Buffers is the memory of a message on its way, used again for the next one.
type Buffers struct {
	hold   buffer // canonical octets held back, or gathered for a chunk
	out    buffer // octets in wire form
	line   []byte // a command
	rcpts  []link.Reply
	finals []link.Reply // under LMTP

	data   dataBody
	chunks chunkBody
}

// NewBuffers returns memory for a message.
func NewBuffers() *Buffers { return new(Buffers) }

// Reset makes the memory ready for another message.
func (b *Buffers) Reset() {
	b.hold.release()
	b.out.release()
	b.line = b.line[:0]
	b.data, b.chunks = dataBody{}, chunkBody{}
	clear(b.rcpts)
	clear(b.finals)
}
