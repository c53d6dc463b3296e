package submission

import (
	"io"
	"slices"
)

// Write adds message octets, in any line ending. An error is a *SendError and
// final: the transaction is over.
func (t *Transaction) Write(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		if t.err != nil {
			return n, t.err
		}
		took, err := t.feed(p[n:])
		n += took
		if err != nil {
			return n, err
		}
	}
	return n, t.err
}

// ReadFrom adds the octets of r up to its end. A failure of r is final as well:
// the connection is closed and nothing is delivered.
func (t *Transaction) ReadFrom(r io.Reader) (int64, error) {
	var n int64
	for empty := 0; t.err == nil; {
		if t.ctx.Err() != nil {
			return n, t.abandon(givenUp(StageMessage, t.ctx))
		}
		buf := t.mem.in
		got, err := r.Read(buf)
		if got > 0 {
			empty = 0
			if m, err := t.Write(buf[:got]); err != nil {
				return n + int64(m), err
			}
			n += int64(got)
		}
		if err == io.EOF {
			return n, nil
		}
		if err != nil {
			return n, t.sourceFailed(err)
		}
		if empty++; empty > 100 {
			return n, t.sourceFailed(io.ErrNoProgress)
		}
	}
	return n, t.err
}

// feed takes a block of the message off the front of p.
func (t *Transaction) feed(p []byte) (took int, err error) {
	if t.state == txStreaming && !t.bdat && len(p) >= directBlock {
		if block := p[:min(len(p), ioBlock)]; t.enc.Plain(block) {
			return len(block), t.direct(block)
		}
	}
	block := p[:min(len(p), feedBlock)]
	if t.state == txStreaming {
		return len(block), t.stream(block)
	}
	return len(block), t.holdOn(block)
}

// holdOn keeps a block back until there is too much of them.
func (t *Transaction) holdOn(block []byte) error {
	t.mem.hold = t.encode(t.mem.hold, block)
	t.octets = int64(len(t.mem.hold))
	if len(t.mem.hold) <= holdBack {
		return nil
	}
	if err := t.start(false); err != nil {
		return err
	}
	if t.bdat {
		t.mem.hold = slices.Grow(t.mem.hold, max(0, t.cfg.ChunkSize+3*feedBlock-len(t.mem.hold)))
		return t.chunks()
	}
	t.mem.out = t.enc.Restuff(t.mem.out[:0], t.mem.hold)
	t.mem.hold = t.mem.hold[:0]
	return nil
}

// encode appends the canonical form of block, without dots; binary bodies are
// left alone.
func (t *Transaction) encode(dst, block []byte) []byte {
	if t.env.Body == BodyBinaryMIME {
		return append(dst, block...)
	}
	return t.enc.Append(dst, block)
}
