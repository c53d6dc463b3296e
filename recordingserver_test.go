package submission_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// place is where in a transaction a reply goes wrong.
type place uint8

const (
	nowhere place = iota
	placeReset
	placeMail
	placeRcpt1
	placeRcpt2
	placeData
	placeChunk1
	placeChunk2
	placeFinal
	placeAuth
)

var placeNames = []string{"nowhere", "RSET", "MAIL", "first RCPT", "second RCPT", "DATA", "first chunk", "second chunk", "final reply", "AUTH"}

func (p place) String() string { return placeNames[p] }

// misreply is the one thing that a recordingServer does wrong.
type misreply struct {
	kind    misreplyKind
	code    int   // of the reply that stands there instead, or of the one too many
	at      place // the command whose reply it is
	after   place // the command before it in the transaction, nowhere if there is none
	works   bool  // the command does what it does after a good reply all the same
	when    extraTime
	hangsUp bool // after it
}

type misreplyKind uint8

const (
	replacedReply misreplyKind = iota
	missingReply
	extraReply
)

// extraTime is when a reply too many is sent.
type extraTime uint8

const (
	withTheGood   extraTime = iota // in one segment with the good reply, after it
	beforeTheGood                  // in a segment of its own, when the command has come
	unasked                        // in a segment of its own, before the command has come
)

func (m misreply) String() string {
	var text string
	switch m.kind {
	case replacedReply:
		if text = fmt.Sprint(m.code); m.works {
			text += ", done all the same"
		}
	case missingReply:
		text = "no reply"
		if m.works {
			text = "done, no reply"
		}
	case extraReply:
		text = fmt.Sprintf("%d too many, %s", m.code, []string{"joined", "ahead", "unasked"}[m.when])
	}
	if m.hangsUp {
		text += ", hangs up"
	}
	return m.at.String() + " " + text
}

// recordingServer is a server that keeps to the protocol, except for one reply
// at most, and that knows which message it took for whom. It shares no code with
// the client, not even the reader of lines. The messages are testMessages to
// rcptB and rcptC.
type recordingServer struct {
	keywords []string
	// thinks is the time before each reply, the one to a whole message included.
	// No two replies share a segment then.
	thinks time.Duration
	// echoes is the time after which the reply to a message is sent once more.
	echoes time.Duration
	// leavesChunks: a chunk that is refused is not read, so that its lines are
	// taken for commands, as by go-smtp before 0.25.1.
	leavesChunks bool

	sessions sync.WaitGroup

	mu       sync.Mutex
	count    int
	current  *recordingSession
	accepted map[string][]string        // by message: the recipients of each time, joined by commas
	whole    map[string]bool            // by message: its last octet was written
	blind    bool                       // or it was about to be, where nobody could see it
	refused  map[string]map[string]bool // by message: recipients that were refused for good
	strange  []string                   // what no client should send
	lines    []string

	sending string // the message that the client sends now
	refuses string // what is rightly refused of it: a recipient, "message", or ""
	wrong   *misreply
	done    bool // wrong has happened
}

func newRecordingServer(keywords ...string) *recordingServer {
	return &recordingServer{keywords: keywords, accepted: map[string][]string{}, whole: map[string]bool{}, refused: map[string]map[string]bool{}}
}

const (
	rcptB = "b@test.example"
	rcptC = "c@test.example"
)

// testMessage is a message of 250 octets that knows its name.
func testMessage(name string) string {
	head := "Subject: " + name + "\r\n\r\n"
	tail := "\r\nend of " + name + "\r\n"
	return head + strings.Repeat("x", 250-len(head)-len(tail)) + tail
}

// settle waits until the server has answered all that was written to it over a
// real connection. In a synctest bubble synctest.Wait does that.
func (srv *recordingServer) settle() {
	srv.mu.Lock()
	se := srv.current
	srv.mu.Unlock()
	if se == nil {
		return
	}
	if c := conversationOf(se.nc); c != nil {
		c.settle()
	}
}

// next says which message comes now, and what happens to it. The server must
// have nothing left to do for the one before.
func (srv *recordingServer) next(name, refuses string, wrong *misreply) {
	srv.mu.Lock()
	srv.sending, srv.refuses, srv.wrong, srv.done = name, refuses, wrong, false
	srv.refused[name] = map[string]bool{}
	var speak *recordingSession
	if wrong != nil && wrong.kind == extraReply && wrong.when == unasked && wrong.after == nowhere && srv.current != nil {
		speak, srv.done = srv.current, true
	}
	srv.mu.Unlock()
	if speak == nil {
		return
	}
	// The session waits for the client and has nothing to say.
	if wrong.hangsUp {
		speak.setOver()
	}
	say := func() {
		speak.write(fmt.Sprintf("%d one too many\r\n", wrong.code))
		if wrong.hangsUp {
			speak.hangUp()
		}
	}
	if writesWait(speak.nc) {
		go say()
	} else {
		say()
	}
}

// happened reports whether the last message met what was to go wrong.
func (srv *recordingServer) happened() bool {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	return srv.done
}

// wrongAt returns what goes wrong with the reply at a place, once.
func (srv *recordingServer) wrongAt(at place) *misreply {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	m := srv.wrong
	if m == nil || srv.done || m.at != at || m.when == unasked && at == placeFinal {
		return nil // the last octet has come: it would be the reply, as far as anybody can know
	}
	srv.done = true
	return m
}

// unaskedDue returns the reply that comes unasked once the reply at a place
// was sent.
func (srv *recordingServer) unaskedDue(at place) *misreply {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	m := srv.wrong
	if m == nil || srv.done || m.kind != extraReply || m.when != unasked || m.after != at {
		return nil
	}
	srv.done = true
	return m
}

func (srv *recordingServer) refusesNow(what string) bool {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	return srv.refuses == what
}

func (srv *recordingServer) log(format string, args ...any) {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	srv.lines = append(srv.lines, fmt.Sprintf(format, args...))
}

// take records a message.
func (srv *recordingServer) take(data []byte, rcpts []string) {
	text := string(data)
	subject, _, _ := strings.Cut(strings.TrimPrefix(text, "Subject: "), "\r\n")
	srv.mu.Lock()
	defer srv.mu.Unlock()
	if text != testMessage(subject) {
		srv.strange = append(srv.strange, fmt.Sprintf("a message that nobody sent: %.300q", text))
	}
	srv.accepted[subject] = append(srv.accepted[subject], strings.Join(slices.Compact(slices.Sorted(slices.Values(rcpts))), ","))
}

func (srv *recordingServer) note(format string, args ...any) {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	srv.strange = append(srv.strange, fmt.Sprintf(format, args...))
}

// wait returns once every session is over: the record is complete then.
func (srv *recordingServer) wait() { srv.sessions.Wait() }

// transcript is what was said, in the order in which it was said.
func (srv *recordingServer) transcript() string {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	return strings.Join(srv.lines, "\n") + fmt.Sprintf("\naccepted %v, seen whole %v", srv.accepted, slices.Sorted(maps.Keys(srv.whole)))
}

// recordingSession is one session of a recordingServer.
type recordingSession struct {
	srv    *recordingServer
	nc     net.Conn
	number int
	r      *bufio.Reader
	input  []byte // all that the client wrote
	out    []byte // replies that are held back while there is more to read

	mail    bool
	rcpts   []string
	data    []byte
	chunks  int
	broken  bool // a chunk was refused: only RSET helps (RFC 3030, 2)
	reading bool // the message follows
	hangs   bool // it hangs up after the flight, or instead of the last reply

	mu   sync.Mutex
	over bool // no command counts any more
}

// start runs a session over nc.
func (srv *recordingServer) start(nc net.Conn) {
	srv.mu.Lock()
	srv.count++
	se := &recordingSession{srv: srv, nc: nc, number: srv.count}
	srv.current = se
	srv.mu.Unlock()
	se.r = bufio.NewReaderSize(nc, 64<<10)
	srv.sessions.Go(func() {
		defer nc.Close()
		se.run()
		se.srv.mu.Lock()
		defer se.srv.mu.Unlock()
		if se.srv.current == se {
			se.srv.current = nil
		}
	})
}

func (se *recordingSession) run() {
	se.say(220, "hi")
	for !se.isOver() {
		line, ok := se.line()
		if !ok || se.isOver() {
			break
		}
		se.command(line)
	}
	// What still comes does not count, but it was written.
	rest, _ := io.ReadAll(se.r)
	se.input = append(se.input, rest...)
	se.srv.seen(se.input)
}

// seen notes the messages whose last octet is in what a client wrote, or was
// about to write: from there on only the server's reply can tell the outcome.
func (srv *recordingServer) seen(written []byte) {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	end := ""
	if !bytes.Contains(written, []byte("BDAT ")) {
		end = ".\r\n"
	}
	for name := range srv.refused {
		if bytes.Contains(written, []byte("\r\nend of "+name+"\r\n"+end)) {
			srv.whole[name] = true
		}
	}
}

func (se *recordingSession) isOver() bool {
	se.mu.Lock()
	defer se.mu.Unlock()
	return se.over
}

func (se *recordingSession) setOver() {
	se.mu.Lock()
	defer se.mu.Unlock()
	se.over = true
	se.srv.mu.Lock()
	defer se.srv.mu.Unlock()
	if se.srv.current == se {
		se.srv.current = nil
	}
}

// hangUp ends the session. What the client still writes is read, where that is
// possible, so that it is known how much it wrote.
func (se *recordingSession) hangUp() {
	se.setOver()
	se.srv.log("[%d] server hangs up", se.number)
	if half, ok := se.nc.(interface{ CloseWrite() error }); ok {
		half.CloseWrite()
	} else {
		se.nc.Close()
	}
}

func (se *recordingSession) write(text string) {
	for line := range strings.Lines(text) {
		se.srv.log("[%d] S: %s", se.number, strings.TrimSuffix(line, "\r\n"))
	}
	se.nc.Write([]byte(text))
}

func (se *recordingSession) flush() {
	if len(se.out) > 0 {
		text := string(se.out)
		se.out = se.out[:0]
		se.write(text)
	}
}

// alone sends something that the client does not read together with what it was
// sent before.
func (se *recordingSession) alone(text string) {
	se.flush()
	if c := conversationOf(se.nc); c != nil { // connections in memory keep segments apart
		c.separate()
	}
	se.write(text)
}

// say answers, together with the answers to what else has come.
func (se *recordingSession) say(code int, text string) {
	se.out = fmt.Appendf(se.out, "%d %s\r\n", code, text)
}

// more is called before the client's next octets are waited for.
func (se *recordingSession) more() {
	if se.r.Buffered() > 0 {
		return
	}
	se.flush()
	if se.hangs && !se.isOver() {
		se.hangUp()
	}
}

func (se *recordingSession) line() (string, bool) {
	se.more()
	line, err := se.r.ReadString('\n')
	se.input = append(se.input, line...)
	if err != nil {
		return "", false
	}
	text := strings.TrimSuffix(line, "\r\n")
	if len(line)-len(text) != 2 || strings.ContainsAny(text, "\r\n") {
		se.srv.note("a line that does not end in CRLF: %q", line)
	}
	se.srv.log("[%d] C: %s", se.number, text)
	return text, true
}

func (se *recordingSession) octets(n int) ([]byte, bool) {
	buf := make([]byte, n)
	for have := 0; have < n; {
		se.more()
		got, err := se.r.Read(buf[have:])
		se.input = append(se.input, buf[have:have+got]...)
		if have += got; err != nil && have < n {
			return nil, false
		}
	}
	se.srv.log("[%d] C: <%d octets>", se.number, n)
	return buf, true
}

func (se *recordingSession) clear() {
	se.mail, se.rcpts, se.data, se.chunks, se.broken = false, nil, nil, 0, false
}

func (se *recordingSession) command(line string) {
	verb, rest, _ := strings.Cut(line, " ")
	switch verb {
	case "EHLO":
		se.clear()
		lines := append([]string{"mail.test.example"}, se.srv.keywords...)
		for i, text := range lines {
			sep := "-"
			if i == len(lines)-1 {
				sep = " "
			}
			se.out = fmt.Appendf(se.out, "250%s%s\r\n", sep, text)
		}
		se.unaskedAfter(nowhere)
	case "RSET":
		se.answer(placeReset, true, "250 reset", se.clear)
	case "MAIL":
		se.answer(placeMail, !se.mail, "250 2.1.0 sender", func() { se.mail = true })
	case "RCPT":
		se.rcpt(strings.TrimSuffix(strings.TrimPrefix(rest, "TO:<"), ">"))
	case "DATA":
		se.reading = false
		se.answer(placeData, len(se.rcpts) > 0 && se.chunks == 0, "354 go", func() { se.reading = true })
		if se.reading {
			se.content()
		}
	case "BDAT":
		se.chunk(rest)
	case "AUTH":
		se.think()
		se.say(235, "2.7.0 welcome")
		se.unaskedAfter(placeAuth)
	case "NOOP":
		se.think()
		se.say(250, "noop")
	case "QUIT":
		se.say(221, "bye")
		se.flush()
		se.hangUp()
	default:
		se.srv.note("not a command: %q", line)
		se.say(500, "what?")
	}
}

func (se *recordingSession) rcpt(addr string) {
	at := placeRcpt1
	if addr == rcptC {
		at = placeRcpt2
	}
	good := "250 2.1.5 recipient"
	ok := se.mail && se.chunks == 0
	if ok && se.srv.refusesNow(addr) {
		ok, good = false, "550 5.1.1 no such user"
		se.refuse(addr)
	}
	se.answer(at, ok, good, func() { se.rcpts = append(se.rcpts, addr) })
}

// refuse notes that a recipient was refused for good.
func (se *recordingSession) refuse(addr string) {
	se.srv.mu.Lock()
	defer se.srv.mu.Unlock()
	se.srv.refused[se.srv.sending][addr] = true
}

// content reads a message that DATA brings.
func (se *recordingSession) content() {
	var text []byte
	for {
		line, ok := se.line()
		if !ok || se.isOver() {
			return
		}
		if line == "." {
			break
		}
		text = append(text, strings.TrimPrefix(line, ".")+"\r\n"...)
	}
	rcpts := se.rcpts
	se.clear()
	se.last(text, rcpts, true)
}

// last answers a whole message.
func (se *recordingSession) last(text []byte, rcpts []string, ok bool) {
	good := "250 2.6.0 taken"
	if ok && se.srv.refusesNow("message") {
		ok, good = false, "552 5.3.4 not this one"
	}
	se.broken = se.chunks > 0
	se.answer(placeFinal, ok, good, func() {
		se.clear()
		se.srv.take(text, rcpts)
		if se.srv.echoes > 0 {
			time.AfterFunc(se.srv.echoes, func() { se.write(good + "\r\n") })
		}
	})
}

func (se *recordingSession) chunk(args string) {
	size, last := strings.CutSuffix(args, " LAST")
	n, err := strconv.Atoi(size)
	if err != nil || n < 0 || n > 1<<20 {
		se.srv.note("BDAT %s", args)
		se.say(501, "how many?")
		return
	}
	ok := se.mail && len(se.rcpts) > 0 && !se.broken
	if !ok && se.srv.leavesChunks {
		se.think()
		se.say(502, "5.5.1 missing RCPT")
		return
	}
	octets, whole := se.octets(n)
	if !whole || se.isOver() {
		return
	}
	se.chunks++
	se.data = append(se.data, octets...)
	if last {
		se.last(se.data, se.rcpts, ok)
		return
	}
	at := placeChunk1
	if se.chunks > 1 {
		at = placeChunk2
	}
	was := se.broken
	se.broken = true
	se.answer(at, ok, "250 2.0.0 chunk", func() { se.broken = was })
}

func (se *recordingSession) think() {
	if se.srv.thinks > 0 {
		se.flush()
		time.Sleep(se.srv.thinks)
	}
}

// answer gives the reply at a place: good if ok, else a refusal, or what goes
// wrong there. work is what the command does.
func (se *recordingSession) answer(at place, ok bool, good string, work func()) {
	se.think()
	if !ok {
		work = func() {}
		if good[0] < '4' {
			good = "503 5.5.1 not now"
		}
	}
	m := se.srv.wrongAt(at)
	switch {
	case m == nil:
		work()
		se.sayLine(at, good)
	case m.kind == replacedReply:
		se.replace(*m, work)
	case m.kind == missingReply:
		if m.works {
			work()
		}
		se.finish(*m)
	case m.when == withTheGood:
		work()
		se.out = fmt.Appendf(se.out, "%s\r\n", good)
		se.say(m.code, "one too many")
		se.finish(*m)
	default:
		se.alone(fmt.Sprintf("%d one too many\r\n", m.code))
		se.finish(*m)
		if !se.isOver() {
			work()
			se.sayLine(at, good)
		}
	}
}

// sayLine gives a good reply, unless the session is to end there.
func (se *recordingSession) sayLine(at place, line string) {
	if se.hangs && at == placeFinal {
		se.flush()
		se.hangUp()
		return
	}
	se.out = fmt.Appendf(se.out, "%s\r\n", line)
	se.unaskedAfter(at)
}

// replace gives another reply. A recipient that is answered with 4yz, 5yz or 221 is
// not taken, even where the session goes on.
func (se *recordingSession) replace(m misreply, work func()) {
	refusal := m.code >= 400 || m.code == 221
	rcpt := m.at == placeRcpt1 || m.at == placeRcpt2
	if m.works && !(rcpt && refusal) {
		work()
	}
	if rcpt && m.code >= 500 {
		se.refuse(map[place]string{placeRcpt1: rcptB, placeRcpt2: rcptC}[m.at])
	}
	se.say(m.code, "so be it")
	if m.hangsUp && m.works && refusal {
		se.hangs = true // but first the flight goes on
		return
	}
	se.finish(m)
}

// finish hangs up where that is to follow.
func (se *recordingSession) finish(m misreply) {
	if m.hangsUp {
		se.flush()
		se.hangUp()
	}
}

// unaskedAfter sends a reply that nobody asked for after the reply at a place,
// unless the next command has come already.
func (se *recordingSession) unaskedAfter(at place) {
	if se.r.Buffered() > 0 {
		return
	}
	if m := se.srv.unaskedDue(at); m != nil {
		se.alone(fmt.Sprintf("%d one too many\r\n", m.code))
		se.finish(*m)
	}
}
