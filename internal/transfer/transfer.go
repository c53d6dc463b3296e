package transfer

import (
	"github.com/fe022423/submission/internal/link"
	"github.com/fe022423/submission/internal/smtpwire"
)

// Envelope is what a transfer sends before the message. It must not change
// while the transfer runs.
type Envelope interface {
	// Recipients is their number.
	Recipients() int
	// AppendMail and AppendRcpt append a command without its CRLF.
	AppendMail(dst []byte) []byte
	AppendRcpt(dst []byte, i int) []byte
}

// Mode is how a message travels, which is what the server offers and what the
// message needs.
type Mode struct {
	Pipelining    bool
	Chunking      bool // BDAT instead of DATA
	EnhancedCodes bool // the server uses the codes of RFC 3463
	LMTP          bool // a final reply for each recipient (RFC 2033)
	AllOrNothing  bool // one refused recipient stops the message
	Reset         bool // RSET goes first
	Looked        bool // the link was looked at just now
	Early         bool // the message may share the flight of its envelope
	SevenBit      bool // no octet above 0x7f may be sent
	Binary        bool // octets are sent as they are (RFC 3030)
	SizeLimit     int64
	ChunkSize     int
	Skip          []bool // recipients that are not asked for; nil asks for all
	Divisible     bool   // recipients that the server has no room for get the message in another transaction
}

// Skips reports whether recipient i is not asked for.
func (m *Mode) Skips(i int) bool { return m.Skip != nil && m.Skip[i] }

// Transfer is one attempt to bring a message to a server. The zero value has
// not begun.
type Transfer struct {
	Record
	link *link.Link
	env  Envelope
	buf  *Buffers
	body body // nil until octets are sent
	// written is called when the last octet has been handed to the connection.
	written func(octets int64)
	// follower is asked what may follow the last octet; nil for nothing.
	follower Follower
}

// Follower puts the envelope of another message after the end of this one.
type Follower interface {
	// Follow appends the first flight of that envelope to end, with Ride.Board, or
	// returns end. It is called just before end, which ends the message, is written.
	Follow(end []byte) []byte
}

// LetFollow sets who is asked what may follow.
func (t *Transfer) LetFollow(f Follower) { t.follower = f }

// body sends the octets of a message in one of the two ways there are.
type body interface {
	// add takes a part of p and returns how much.
	add(p []byte) int
	// prepare sends all but the last octets. After it only commit follows.
	prepare()
	// commit sends the rest and hears the verdict.
	commit()
}

// Start brings the envelope to the server, and the message of s with it where
// the mode allows that. What came of it is in the Record: OK tells whether the
// message may follow. whole says that s holds the whole message.
func (t *Transfer) Start(l *link.Link, env Envelope, s *Spool, m Mode) {
	t.begin(l, env, s, m, nil)
}

// Resume is Start for an envelope whose first flight is on its way over l as r.
func (t *Transfer) Resume(l *link.Link, env Envelope, s *Spool, m Mode, r *Ride) {
	t.begin(l, env, s, m, r)
}

func (t *Transfer) begin(l *link.Link, env Envelope, s *Spool, m Mode, r *Ride) {
	n := env.Recipients()
	s.buf.rcpts = resized(s.buf.rcpts, n)
	t.Record = Record{Mode: m, Rcpt: s.buf.rcpts, Octets: s.octets()}
	if m.LMTP {
		s.buf.finals = resized(s.buf.finals, n)
		t.Finals = s.buf.finals
	}
	t.link, t.env, t.buf, t.body = l, env, s.buf, nil
	t.sendEnvelope(s, r)
}

func resized(list []link.Reply, n int) []link.Reply {
	if cap(list) < n {
		return make([]link.Reply, n)
	}
	list = list[:n]
	clear(list)
	return list
}

// Unfinished reports whether the server waits for more of the message: no command may
// follow on the link.
func (t *Transfer) Unfinished() bool {
	return t.FirstFinal().Code == 0 && t.Lone.Code == 0 && (t.body != nil || t.Data.Code/100 == 3)
}

// OnWritten sets what is called when the last octet was handed to the
// connection.
func (t *Transfer) OnWritten(f func(octets int64)) { t.written = f }

// OK reports whether nothing speaks against the message so far.
func (t *Transfer) OK() bool {
	return t.flowing() && t.Deliverable() && (t.Mode.Chunking || t.Data.Code/100 == 3)
}

// Stream begins to send what s holds. Write follows.
func (t *Transfer) Stream(s *Spool) { t.openBody(s) }

func (t *Transfer) openBody(s *Spool) {
	if t.Mode.Chunking {
		t.body = newChunkBody(t, s)
	} else {
		t.body = newDataBody(t, s)
	}
}

// flowing is OK for a message whose envelope was accepted.
func (t *Transfer) flowing() bool { return t.Lost == nil && t.Stop == NoStop && t.Chunk.Code == 0 }

// Write sends on octets of the message. It returns how many it took; when that
// is less than all, OK is false.
func (t *Transfer) Write(p []byte) int {
	n := 0
	for n < len(p) && t.flowing() {
		n += t.body.add(p[n:])
	}
	return n
}

// Room returns memory to read more of the message into, where that saves a copy; else
// nil.
func (t *Transfer) Room() []byte {
	if b, ok := t.body.(*chunkBody); ok && t.flowing() {
		return b.room()
	}
	return nil
}

// Took is Write for the first n octets of what Room returned.
func (t *Transfer) Took(n int) { t.body.(*chunkBody).took(n) }

// Prepare sends all but the last octets. Unless Write was called, the message is
// what s holds.
func (t *Transfer) Prepare(s *Spool) {
	if t.body == nil {
		t.openBody(s)
	}
	if t.OK() {
		t.body.prepare()
	}
}

// Commit sends what is left of the message and hears the server's verdict.
func (t *Transfer) Commit(s *Spool) {
	if t.Together {
		return
	}
	if t.body == nil {
		t.openBody(s)
	}
	if t.OK() {
		t.body.commit()
	}
}

// GiveUp ends the message, which was to travel over l, in the middle. Once octets
// of it are out only closing the connection keeps the server from waiting for
// more.
func (t *Transfer) GiveUp(l *link.Link, why Stop) {
	t.Stop = why
	l.Break(&link.Failure{Kind: link.GivenUp, Step: link.Message})
}

// fits gives up a message that has grown over the server's limit.
func (t *Transfer) fits() bool {
	if t.Mode.SizeLimit > 0 && t.Octets > t.Mode.SizeLimit {
		t.GiveUp(t.link, TooLarge)
		return false
	}
	return true
}

// sendable gives up a message with an octet above 0x7f where none may be sent.
func (t *Transfer) sendable(block []byte) bool {
	if t.Mode.SevenBit && smtpwire.Has8Bit(block) {
		t.GiveUp(t.link, EightBit)
		return false
	}
	return true
}

// push writes head and then block. Neither may hold the end of the message.
func (t *Transfer) push(head, block []byte) bool {
	if t.link.Arrived() || !t.link.Write(head) || !t.link.Write(block) {
		t.lose(t.link.LastWord(link.Message))
		return false
	}
	return true
}

// commitWith writes p, which carries the last octet of the message, and hears
// what is owed. From the moment the write begins only a reply tells the outcome.
func (t *Transfer) commitWith(p []byte) {
	l := t.link
	if why := l.Cancelled(link.Message); why != nil {
		t.lose(why)
		return
	}
	if l.Waiting() {
		t.lose(l.LastWord(link.Message))
		return
	}
	t.oweFinals()
	if t.follower != nil && t.mayBeFollowed() {
		p = t.follower.Follow(p)
	}
	t.Committed = true
	if l.Write(p) && t.written != nil {
		t.written(t.Octets)
	}
	l.HearFor(&t.Record)
	t.afterFinal()
}

// afterFinal looks at what stands in the buffer once the final reply was heard.
// It cannot undo the verdict but show that it was not one.
func (t *Transfer) afterFinal() {
	if t.Together || t.Mode.LMTP {
		t.link.TakeIn()
	}
	t.Surplus, t.Noise = t.link.Surplus(link.Final)
	if !t.answered() {
		t.lose(t.link.Failure()) // the last reply was heard, and makes no sense there
		t.forgetShifted(command{step: link.Mail}, command{step: over})
	}
	if t.Together && !t.answered() && !t.gone() {
		t.forget(0, len(t.Rcpt)) // one too many may be among those that came
	}
	if t.Shifted = t.shifted(); t.Shifted {
		if t.Data.Code/100 != 3 { // all replies before a 354 stood in their places
			t.forget(0, len(t.Rcpt))
		}
		clear(t.Finals)
	}
	if t.Ends() {
		t.link.Break(&link.Failure{Kind: link.GivenUp, Step: link.Final})
	}
}
