package submission_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fe022423/submission"
)

// carriage is how a message travels.
type carriage struct {
	name     string
	keywords []string
	early    bool
	chunk    int // Options.ChunkSize
	places   []place
}

func carriages() []carriage {
	envelope := []place{placeReset, placeMail, placeRcpt1, placeRcpt2}
	data := append(slices.Clone(envelope), placeData, placeFinal)
	one := append(slices.Clone(envelope), placeFinal)
	three := append(slices.Clone(envelope), placeChunk1, placeChunk2, placeFinal)
	return []carriage{
		{"DATA", nil, false, 0, data},
		{"BDAT", []string{"CHUNKING"}, false, 0, one},
		{"BDAT in chunks", []string{"CHUNKING"}, false, 100, three},
		{"early data", []string{"CHUNKING"}, true, 0, one},
		{"early data in chunks", []string{"CHUNKING"}, true, 100, three},
	}
}

// route is what sends the message that meets the fault.
type route struct {
	name   string
	client bool // a Client, not a Session
	used   bool // a good message went over the session before
}

var routes = []route{
	{"fresh session", false, false},
	{"reused session", false, true},
	{"new client", true, false},
	{"client", true, true},
}

// misCell is one case: what goes wrong where, and how the message travels.
type misCell struct {
	carriage
	pipelined, partial bool
	wrong              misreply
	refuses            string // what else the server refuses, rightly
	route              route
}

func (c misCell) String() string {
	parts := []string{c.wrong.String()}
	if c.refuses != "" {
		parts = append(parts, "refuses "+c.refuses)
	}
	if !c.pipelined {
		parts = append(parts, "lockstep")
	}
	if c.partial {
		parts = append(parts, "partial")
	}
	return strings.Join(append(parts, c.route.name), ", ")
}

// misreplies are the ways in which a reply at a place can be wrong, with what
// the server refuses beside it.
func misreplies(at, after place) (list []misCell) {
	add := func(m misreply, refuses ...string) {
		for _, what := range refuses {
			for _, m.hangsUp = range []bool{false, true} {
				m.at, m.after = at, after
				list = append(list, misCell{wrong: m, refuses: what})
			}
		}
	}
	nothing, each := []string{""}, []string{"", rcptB, rcptC, "message"}
	add(misreply{code: 252, works: true}, nothing...)
	if at == placeData {
		add(misreply{code: 252}, nothing...)
	}
	for _, code := range []int{421, 221, 450, 550} {
		add(misreply{code: code}, nothing...)
		// A server that refuses a chunk, DATA or a message means it; it may say
		// that it closes, and not do so.
		closes := code == 421 || code == 221
		if at != placeFinal && (closes || at <= placeRcpt2) {
			add(misreply{code: code, works: true}, nothing...)
		}
	}
	add(misreply{kind: missingReply}, each...)
	add(misreply{kind: missingReply, works: true}, each...)
	for _, when := range []extraTime{withTheGood, beforeTheGood, unasked} {
		if when == beforeTheGood && at == placeFinal {
			continue // it is the reply, as far as anybody can know
		}
		add(misreply{kind: extraReply, when: when, code: 250}, each...)
		add(misreply{kind: extraReply, when: when, code: 550}, nothing...)
	}
	return list
}

// undecidable reports whether nobody can know what happened: the server hangs up
// before the last reply, but with the one too many it has answered as often as it
// was asked.
func (c misCell) undecidable() bool {
	return c.early && c.partial && c.wrong.kind == extraReply && c.wrong.when == withTheGood && c.wrong.at == placeRcpt2 && c.wrong.hangsUp
}

// misCells are all cells of a carriage.
func misCells(how carriage) (list []misCell) {
	for i, at := range how.places {
		after := nowhere
		if i > 0 {
			after = how.places[i-1]
		}
		if at == placeMail {
			after = nowhere // RSET goes in front only where something was left behind
		}
		for _, c := range misreplies(at, after) {
			for _, c.pipelined = range []bool{true, false} {
				if !c.pipelined && how.early {
					continue
				}
				for _, c.partial = range []bool{false, true} {
					for _, c.route = range routes {
						if c.carriage = how; !c.undecidable() {
							list = append(list, c)
						}
					}
				}
			}
		}
	}
	return list
}

// tooCautious complains where nothing was wrong, as far as the client could see,
// and it still does not say what became of the message.
func (c misCell) tooCautious(j cellResult) string {
	w := c.wrong
	harmless := w.kind == replacedReply && w.code == 252 && w.works && w.at != placeData && !w.hangsUp
	if j.happened && !harmless {
		return ""
	}
	want := "sent"
	switch {
	case c.refuses == "message", c.refuses != "" && !c.partial:
		want = "not sent"
	case c.refuses != "":
		want = "partly sent"
	}
	if j.verdict != want {
		return fmt.Sprintf("the client says %s, want %s", j.verdict, want)
	}
	return ""
}

// cellResult is what a cell came to.
type cellResult struct {
	happened  bool
	verdict   string   // on the message that met the fault
	nextFails bool     // a Client did not get the next message through
	wrong     []string // where what the client said is not what the server did
	text      string   // the transcript
}

// run sends a message that meets the fault and a good one after it.
func (c misCell) run(l transport) cellResult {
	keywords := c.keywords
	if c.pipelined {
		keywords = append([]string{"PIPELINING"}, keywords...)
	}
	srv := newRecordingServer(keywords...)
	o := plainText(func(o *submission.Options) { o.EarlyData, o.ChunkSize = c.early, c.chunk })
	if l.secure {
		o.TLS, o.TLSConfig = submission.TLSImplicit, clientTLS()
	}
	if l.real {
		short := 150 * time.Millisecond
		o.Timeouts = submission.Timeouts{Command: short, DataInit: short, DataBlock: short, DataFinal: short, Quit: short}
	}
	var j cellResult
	s := sender{srv: srv, link: l, options: o, partial: c.partial, client: c.route.client}
	if c.route.used {
		s.send("first", "", nil)
	}
	if c.wrong.at == placeReset {
		// A recipient refused leaves something behind, and costs no session.
		partial := s.partial
		s.partial = false
		s.send("before", rcptC, nil)
		s.partial = partial
	}
	s.send("faulty", c.refuses, &c.wrong)
	j.happened = srv.happened()
	s.send("next", "", nil)
	s.close()
	srv.wait()
	for _, said := range s.said {
		if said.name == "faulty" {
			j.verdict = said.verdict()
			if !l.real { // there a reply may be late, for once
				j.note(c.tooCautious(j))
			}
		}
		j.nextFails = said.name == "next" && c.route.client && said.err != nil
		j.note(said.contradiction(srv))
		if c.wrong.kind == extraReply && c.wrong.code < 400 {
			j.note(said.blames(srv))
		}
	}
	j.note(strings.Join(srv.strange, "; "))
	if len(j.wrong) > 0 {
		j.text = srv.transcript()
	}
	return j
}

func (j *cellResult) note(wrong string) {
	if wrong != "" {
		j.wrong = append(j.wrong, wrong)
	}
}

// sender sends one message after the other over a session, until it is not
// usable any more, or by a Client.
type sender struct {
	srv     *recordingServer
	link    transport
	options *submission.Options
	partial bool
	client  bool
	to      []string // nil: rcptB and rcptC
	text    string   // "": the testMessage of its name

	session *submission.Session
	pool    *submission.Client
	failed  bool // there was no session
	said    []claim
}

// claim is what a send gave.
type claim struct {
	name string
	all  string // its recipients
	res  *submission.Result
	err  error
}

// send sends a message once the server has nothing left to do, and has the server
// refuse it or go wrong with it.
func (s *sender) send(name, refuses string, wrong *misreply) {
	if s.link.real {
		s.srv.settle()
	} else {
		synctest.Wait()
	}
	s.srv.next(name, refuses, wrong)
	s.sendNow(name)
}

func (s *sender) sendNow(name string) {
	to, text := s.to, s.text
	if to == nil {
		to = []string{rcptB, rcptC}
	}
	if text == "" {
		text = testMessage(name)
	}
	env := memoTo(to...)
	env.Partial = s.partial
	said := claim{name: name, all: strings.Join(to, ",")}
	ctx, msg := context.Background(), strings.NewReader(text)
	switch {
	case s.client:
		said.res, said.err = s.dialing().Send(ctx, env, msg)
	case s.begun():
		said.res, said.err = s.session.Send(ctx, env, msg)
	default:
		return
	}
	s.said = append(s.said, said)
}

// dialing returns the client.
func (s *sender) dialing() *submission.Client {
	if s.pool == nil {
		s.options.Dialer = dialFunc(func(context.Context, string, string) (net.Conn, error) { return s.link.connect(s.srv), nil })
		var err error
		if s.pool, err = submission.New(testHost, s.options); err != nil {
			panic(err)
		}
	}
	return s.pool
}

// begun reports whether there is a session to be used.
func (s *sender) begun() bool {
	if s.session == nil && !s.failed {
		var err error
		s.session, err = submission.NewSession(context.Background(), s.link.connect(s.srv), testHost, s.options)
		s.failed = err != nil
	}
	return s.session != nil && s.session.Usable()
}

func (s *sender) close() {
	if s.session != nil {
		s.session.Close()
	}
	if s.pool != nil {
		s.pool.Close()
	}
}

func (s claim) verdict() string {
	var failed *submission.SendError
	switch {
	case s.err == nil:
		return "sent"
	case errors.As(s.err, &failed):
		return failed.Outcome.String()
	}
	return "no SendError"
}

func (s claim) recipients() []submission.RecipientResult {
	var failed *submission.SendError
	switch {
	case errors.As(s.err, &failed):
		return failed.Recipients
	case s.res != nil:
		return s.res.Recipients
	}
	return nil
}

// contradiction says where what a send gave is not what the server did.
func (s claim) contradiction(srv *recordingServer) string {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	times, verdict, list := srv.accepted[s.name], s.verdict(), s.recipients()
	var failed *submission.SendError
	if s.err != nil && !errors.As(s.err, &failed) {
		return fmt.Sprintf("%s: no SendError: %v", s.name, s.err)
	}
	var sent []string
	for _, r := range list {
		if r.Status == submission.RecipientSent {
			sent = append(sent, r.Addr)
		}
	}
	slices.Sort(sent)
	sentTo := strings.Join(sent, ",")
	told := fmt.Sprintf("%s: the client says %s to [%s], the server took it %d times for %v (%v)", s.name, verdict, sentTo, len(times), times, s.err)
	switch {
	case len(times) > 1,
		failed == nil && (len(times) != 1 || times[0] != s.all || sentTo != times[0]),
		failed != nil && failed.Outcome == submission.PartlySent && (len(times) != 1 || times[0] != sentTo),
		failed != nil && failed.Outcome == submission.NotSent && (len(times) != 0 || sentTo != ""):
		return told
	case failed != nil && failed.Outcome == submission.Unknown && !srv.whole[s.name] && !srv.blind:
		return told + ": its last octet was never written"
	}
	return ""
}

// blames says which recipient has the refusal of another. With one reply too
// many the client can see that it is out of step; with one too few it cannot.
func (s claim) blames(srv *recordingServer) string {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	for _, r := range s.recipients() {
		if r.Status == submission.RecipientInvalid && !srv.refused[s.name][r.Addr] {
			return fmt.Sprintf("%s: the client says that %s was refused for good, which it was not (%v)", s.name, r.Addr, s.err)
		}
	}
	return ""
}

// misTally counts cells and what came of them.
type misTally struct {
	mu                      sync.Mutex
	cells, unmet, wrong     int
	nextFails               int
	transcripts, complaints int
	verdicts                map[string]int
}

// The report of a carriage shows each cell that is wrong, up to a number that
// can be read, and how it came to be for the first of them.
const (
	mostComplaints  = 60
	mostTranscripts = 3
)

func (n *misTally) add(t *testing.T, c misCell, j cellResult) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cells++
	if n.verdicts == nil {
		n.verdicts = map[string]int{}
	}
	n.verdicts[j.verdict]++
	if j.nextFails {
		n.nextFails++
	}
	if !j.happened {
		n.unmet++
	}
	if len(j.wrong) == 0 {
		return
	}
	n.wrong++
	if n.complaints++; n.complaints > mostComplaints {
		return
	}
	text := ""
	if n.transcripts++; n.transcripts <= mostTranscripts {
		text = "\n" + j.text
	}
	t.Errorf("%v: %s%s", c, strings.Join(j.wrong, "\n\t"), text)
}

func (n *misTally) report(t *testing.T) {
	t.Logf("%d cells, of which %d never came to the fault; %d contradictions; verdicts %v; %d times a client failed with the next message",
		n.cells, n.unmet, n.wrong, n.verdicts, n.nextFails)
	if n.wrong > 0 {
		t.Errorf("%d cells of %d contradict the server", n.wrong, n.cells)
	}
}

// everyCell keeps each n-th cell, fewer unless the tables are to be whole.
func everyCell(n int, list []misCell) (kept []misCell) {
	n = sampled(n)
	for i := 0; i < len(list); i += n {
		kept = append(kept, list[i])
	}
	return kept
}

// One reply goes wrong, whichever, however, and on whatever connection: what the
// client says of the message is what the server did, and so is what it says of
// the next one. Nothing is sent twice.
func TestOneWrongReply(t *testing.T) {
	for _, l := range []transport{
		{name: "in memory", pair: memoryPair},
		{name: "net.Pipe", pair: unbufferedPair},
		{name: "TLS in memory", pair: memoryPair, secure: true},
	} {
		for _, how := range carriages() {
			t.Run(l.name+"/"+how.name, func(t *testing.T) {
				t.Parallel()
				cells := everyCell(1, misCells(how))
				var n misTally
				for _, c := range cells {
					var j cellResult
					synctest.Test(t, func(*testing.T) { j = c.run(l) })
					n.add(t, c, j)
				}
				n.report(t)
			})
		}
	}
}

// The same over the loopback interface, where only a few of the cells can be
// waited for.
func TestOneWrongReplyOnASocket(t *testing.T) {
	for _, l := range []transport{
		{name: "socket", pair: tcpPair, real: true},
		{name: "TLS", pair: tcpPair, secure: true, real: true},
	} {
		for _, how := range carriages() {
			t.Run(l.name+"/"+how.name, func(t *testing.T) {
				t.Parallel()
				stride := 3
				if l.secure {
					stride = 7
				}
				var n misTally
				var running sync.WaitGroup
				slots := make(chan bool, 16) // most of them wait for a reply that never comes
				for _, c := range everyCell(stride, misCells(how)) {
					slots <- true
					running.Go(func() {
						defer func() { <-slots }()
						n.add(t, c, c.run(l))
					})
				}
				running.Wait()
				n.report(t)
			})
		}
	}
}
