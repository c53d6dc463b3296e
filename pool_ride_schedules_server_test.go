package submission_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"
)

// rideWorld is the server of a schedule of shared flights. It knows what it accepted for
// whom, and what the client has written. Each of its replies names the message that it is
// for, as [3], or the recipient, as [3.1].
type rideWorld struct {
	*habitServer
	seed  uint64
	texts []string // of the messages, as they are to be stored
	lmtp  bool
	odds  int           // one fault in so many events; 0 is none
	slow  time.Duration // a reply takes up to this, some take ten times as long
	event func(n int)   // is told of each event, counted from 1

	mu       sync.Mutex
	talks    map[*habitSession]*rideTalk
	accepted map[int][]string // by message: the recipients of each time
	out      map[int]bool     // by message: the write that carries its last octet was begun
	strange  []string         // what no client may send
	dials    int
	events   int
	faults   int
	shared   int // envelopes that came together with the end of a message
	chains   int // of them those of messages whose end brought one too
}

// rideTalk is a session as the server has it. Its goroutine alone uses it.
type rideTalk struct {
	dice    *rand.Rand
	message int      // of the transaction; -1 for none
	rcpts   []string // those that were accepted, by their numbers
	rides   bool     // the envelope to come is there, with the end of a message
	rode    bool     // that of the transaction was
	kept    bool     // RSET was refused
}

// silence is longer than the client waits for anything.
const silence = 10 * time.Minute

func newRideWorld(seed uint64, keywords ...string) *rideWorld {
	w := &rideWorld{habitServer: newHabitServer(keywords...), seed: seed,
		talks: map[*habitSession]*rideTalk{}, accepted: map[int][]string{}, out: map[int]bool{}}
	w.habit, w.record = w.act, func([]byte) {} // act knows more
	return w
}

// note changes what the server knows.
func (w *rideWorld) note(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
}

// happen tells of an event.
func (w *rideWorld) happen() {
	w.mu.Lock()
	w.events++
	n := w.events
	w.mu.Unlock()
	w.event(n)
}

// act is the habit.
func (w *rideWorld) act(p *habitSession, verb, line string) *habitAnswer {
	w.happen()
	w.mu.Lock()
	t := w.talks[p]
	if t == nil {
		t = &rideTalk{dice: rand.New(rand.NewPCG(w.seed, uint64(1000+p.id))), message: -1}
		w.talks[p] = t
	}
	w.mu.Unlock()
	a := &habitAnswer{delay: w.delay(t)}
	if verb == "CONNECT" {
		a.delay += time.Millisecond // sends come to wait
	}
	polite := w.polite(p, t, verb, line)
	tag := polite[strings.IndexByte(polite+"[", '['):]
	fails := polite[0] < '4' && w.odds > 0 && t.dice.IntN(w.odds) == 0
	if fails {
		w.note(func() { w.faults++ })
	}
	switch {
	case verb == "MESSAGE":
		w.final(p, t, a, polite, fails)
	case fails:
		w.fail(t, a, polite, tag)
	default:
		a.reply = polite
	}
	if verb == "RSET" {
		t.kept = a.reply != polite
	}
	if verb == "RCPT" && strings.HasPrefix(a.reply, "2") {
		t.rcpts = append(t.rcpts, tag[1:strings.IndexByte(tag, ']')])
	}
	return a
}

// delay is how long a reply takes.
func (w *rideWorld) delay(t *rideTalk) time.Duration {
	if w.slow == 0 || t.dice.IntN(2) == 0 {
		return 0
	}
	d := time.Duration(t.dice.Int64N(int64(w.slow)))
	if t.dice.IntN(30) == 0 {
		d *= 10
	}
	return d
}

// polite is what the server says where nothing goes wrong.
func (w *rideWorld) polite(p *habitSession, t *rideTalk, verb, line string) string {
	name, _, _ := strings.Cut(line[strings.IndexByte(line, '<')+1:], "@")
	switch verb {
	case "CONNECT":
		return "220 " + testHost
	case "EHLO", "LHLO":
		if (verb == "LHLO") != w.lmtp {
			return "500 5.5.1 not here"
		}
		return ehloReply(w.keywords)
	case "MAIL":
		fmt.Sscan(name, &t.message)
		t.rcpts, t.rode, t.rides = nil, t.rides, false
		if p.mail && !t.kept {
			w.note(func() { w.strange = append(w.strange, line+" in a transaction") })
		}
		return fmt.Sprintf("250 2.1.0 [%d] sender", t.message)
	case "RCPT":
		number, kind, _ := strings.Cut(name, "-")
		return map[string]string{"": "250 2.1.5", "no": "550 5.1.1", "busy": "450 4.2.1"}[kind] + " [" + number + "] recipient"
	case "DATA":
		return fmt.Sprintf("354 [%d] go", t.message)
	case "BDAT", "MESSAGE":
		return fmt.Sprintf("250 2.0.0 [%d] taken", t.message)
	case "RSET", "NOOP":
		return "250 2.0.0 [-] done"
	case "QUIT":
		return "221 2.0.0 [-] bye"
	case "": // not the time for it
		if strings.HasPrefix(line, "RCPT") {
			number, _, _ := strings.Cut(name, "-")
			return "503 5.5.1 [" + number + "] not now"
		}
		return fmt.Sprintf("503 5.5.1 [%d] not now", t.message)
	}
	w.note(func() { w.strange = append(w.strange, line) })
	return "500 5.5.2 [-] what"
}

var rideRefusals = []string{"451 4.3.0", "450 4.2.1", "452 4.4.5", "421 4.3.2", "550 5.7.1", "552 5.3.4", "554 5.6.0", "503 5.5.1"}

// fail makes something go wrong with the answer to a command.
func (w *rideWorld) fail(t *rideTalk, a *habitAnswer, polite, tag string) {
	switch t.dice.IntN(8) {
	case 0:
		a.closes = true
	case 1:
		a.resets = true
	case 2:
		a.delay, a.closes = silence, true
	case 3: // that was the last word
		a.reply, a.closes = polite, true
	default:
		a.reply = rideRefusals[t.dice.IntN(len(rideRefusals))] + " " + tag
		a.closes = strings.HasPrefix(a.reply, "421") || t.dice.IntN(4) == 0
	}
}

// final answers a message: to each recipient under LMTP, else once for all.
func (w *rideWorld) final(p *habitSession, t *rideTalk, a *habitAnswer, polite string, fails bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if waiting, _ := p.in.Peek(min(4, p.in.Buffered())); string(waiting) == "RSET" {
		t.rides = true
		w.shared++
		if t.rode {
			w.chains++
		}
	}
	if text := w.texts[t.message]; text != string(p.body) {
		w.strange = append(w.strange, fmt.Sprintf("message %d came as %.200q", t.message, p.body))
	}
	replies, whose := []string{polite}, [][]string{t.rcpts}
	if w.lmtp {
		replies, whose = nil, nil
		for _, number := range t.rcpts {
			replies, whose = append(replies, "250 2.0.0 ["+number+"] taken"), append(whose, []string{number})
		}
	}
	heard := len(replies) // the client gets to know them
	if fails {
		heard = t.failFinal(a, replies, whose)
	}
	var taken []string
	for _, list := range whose {
		taken = append(taken, list...)
	}
	if len(taken) > 0 {
		w.accepted[t.message] = append(w.accepted[t.message], strings.Join(taken, " "))
	}
	a.reply = strings.Join(replies[:heard], "\n")
}

// failFinal makes something go wrong with the replies to a message, and with what is
// taken for whom. It returns how many of the replies are given.
func (t *rideTalk) failFinal(a *habitAnswer, replies []string, whose [][]string) (heard int) {
	switch t.dice.IntN(8) {
	case 0, 1: // taken, and the verdict is lost, or some of it
		if a.closes = true; t.dice.IntN(2) == 0 {
			a.delay = silence
		}
		return t.dice.IntN(len(replies))
	case 2: // not taken, and not a word
		clear(whose)
		a.resets = true
		return 0
	case 3: // that was the last word
		a.closes = true
		return len(replies)
	}
	refusal := rideRefusals[t.dice.IntN(len(rideRefusals))]
	one := t.dice.IntN(2 * len(replies)) // or all of them
	for i := range replies {
		if i == one || one >= len(replies) {
			replies[i], whose[i] = refusal+replies[i][strings.IndexByte(replies[i], '[')-1:], nil
		}
	}
	a.closes = refusal[:3] == "421" || t.dice.IntN(4) == 0
	return len(replies)
}
