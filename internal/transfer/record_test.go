package transfer

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/fe022423/submission/internal/link"
)

// reply reads a reply as a script has it: "550 5.1.1 no". "" is none.
func reply(text string) link.Reply {
	code, text, _ := strings.Cut(text, " ")
	n, _ := strconv.Atoi(code)
	return link.Reply{Code: n, Text: text}
}

func replies(texts ...string) []link.Reply {
	list := make([]link.Reply, len(texts))
	for i, text := range texts {
		list[i] = reply(text)
	}
	return list
}

// facts is a Record as a table writes it down: the replies to RCPT and DATA in a row,
// separated by slashes.
type facts struct {
	mode                                Mode
	reset, mail, rcpt, data             string
	chunk, final, surplus               string
	finals                              string // under LMTP, as rcpt
	committed, together, shifted, noise bool
	lost                                *link.Failure
	stop                                Stop
}

func (f facts) record() Record {
	r := Record{Mode: f.mode, Reset: reply(f.reset), Mail: reply(f.mail), Data: reply(f.data), Chunk: reply(f.chunk), Final: reply(f.final),
		Surplus: reply(f.surplus), Committed: f.committed, Together: f.together, Shifted: f.shifted, Noise: f.noise, Lost: f.lost, Stop: f.stop, Begun: true}
	r.Rcpt = replies(strings.Split(f.rcpt, "/")...)
	if f.mode.LMTP {
		r.Finals = make([]link.Reply, len(r.Rcpt))
		copy(r.Finals, replies(strings.Split(f.finals, "/")...))
	}
	return r
}

// The ways in which a link is lost.
func ended(step link.Step) *link.Failure {
	return &link.Failure{Kind: link.Ended, Step: step, Err: io.EOF}
}

func reset(step link.Step) *link.Failure {
	return &link.Failure{Kind: link.Failed, Step: step, Err: io.ErrClosedPipe}
}

func slow(step link.Step) *link.Failure {
	return &link.Failure{Kind: link.TimedOut, Step: step, Err: os.ErrDeadlineExceeded}
}

func garbage(step link.Step) *link.Failure { return &link.Failure{Kind: link.Malformed, Step: step} }

func outOfStep(step link.Step, text string) *link.Failure {
	return &link.Failure{Kind: link.OutOfStep, Step: step, Reply: reply(text)}
}

func unaskedAt(step link.Step, text string) *link.Failure {
	return &link.Failure{Kind: link.Unasked, Step: step, Reply: reply(text)}
}

func closing(step link.Step, text string) *link.Failure {
	return &link.Failure{Kind: link.Closing, Step: step, Reply: reply(text)}
}

// then is a failure after which the rest was lost, too.
func then(f, rest *link.Failure) *link.Failure {
	f.Rest = rest
	return f
}

var (
	data    = Mode{}
	partly  = Mode{Pipelining: true}
	all     = Mode{Pipelining: true, AllOrNothing: true}
	chunked = Mode{Pipelining: true, Chunking: true}
	codes   = Mode{Pipelining: true, Chunking: true, EnhancedCodes: true}
	early   = Mode{Pipelining: true, Chunking: true, Early: true}
)

// question is a row of a table of one question.
type question struct {
	facts
	want bool
}

// ask asks a question of each row.
func ask(t *testing.T, rows map[string]question, is func(*Record) bool) {
	t.Helper()
	for name, row := range rows {
		r := row.record()
		before := fmt.Sprintf("%+v", r)
		if got := is(&r); got != row.want {
			t.Errorf("%s: %v, want %v", name, got, row.want)
		}
		if after := fmt.Sprintf("%+v", r); after != before {
			t.Errorf("%s: the question changes the record from %s to %s", name, before, after)
		}
	}
}

// Hear keeps each reply in its place. A reply whose class makes no sense where it came
// is not kept, and breaks the link.
func TestHear(t *testing.T) {
	place := map[link.Step]func(*Record) link.Reply{
		link.Reset:   func(r *Record) link.Reply { return r.Reset },
		link.Mail:    func(r *Record) link.Reply { return r.Mail },
		link.Rcpt:    func(r *Record) link.Reply { return r.Rcpt[1] },
		link.Data:    func(r *Record) link.Reply { return r.Data },
		link.Chunk:   func(r *Record) link.Reply { return r.Chunk },
		link.Final:   func(r *Record) link.Reply { return r.Final },
		link.Message: func(r *Record) link.Reply { return r.Lone },
	}
	for step, at := range place {
		for _, text := range []string{"200", "250 ok", "251 will forward", "252", "221 bye", "334 x", "354 go", "421 bye", "450 later", "452 x", "500 what", "550 no", "552 x"} {
			r := facts{mode: codes, rcpt: "//"}.record()
			in := reply(text)
			why := r.Hear(link.Owed{Message: &r, Step: step, Index: 1}, in)
			class := in.Code / 100
			wrong := class == 3 && step != link.Data || class == 2 && step == link.Data && in.Code != 221
			refused := step == link.Reset && in.Negative() && !in.Closing()
			switch {
			case wrong:
				if why == nil || why.Kind != link.OutOfStep || why.Step != step || why.Reply != in {
					t.Errorf("%s at step %d: %v, want out of step", text, step, why)
				}
			case refused:
				if why == nil || why.Kind != link.Refused || why.Step != step || why.Reply != in {
					t.Errorf("%s to RSET: %v, want refused", text, why)
				}
			case why != nil:
				t.Errorf("%s at step %d: %v", text, step, why)
			}
			kept := !wrong
			if step == link.Chunk && !in.Negative() {
				kept = false // only a refusal is worth keeping
			}
			if got := at(&r); kept && got != in || !kept && got.Code != 0 {
				t.Errorf("%s at step %d is kept as %v", text, step, got)
			}
		}
	}
}

// The first refusal of a chunk stays. A reply about an address in place of one about a
// chunk is out of step.
func TestHearChunks(t *testing.T) {
	r := facts{mode: codes, rcpt: "250"}.record()
	owed := link.Owed{Message: &r, Step: link.Chunk}
	for _, text := range []string{"250 2.0.0 ok", "452 4.3.1 full", "554 5.6.0 no"} {
		if why := r.Hear(owed, reply(text)); why != nil {
			t.Errorf("%s: %v", text, why)
		}
	}
	if r.Chunk != reply("452 4.3.1 full") {
		t.Errorf("kept: %v", r.Chunk)
	}
	for _, text := range []string{"250 2.1.5 ok", "550 5.1.1 no", "450 4.1.1 later"} {
		if why := r.Hear(owed, reply(text)); why == nil || why.Kind != link.OutOfStep {
			t.Errorf("%s: %v", text, why)
		}
	}
	r.Mode.EnhancedCodes = false
	if why := r.Hear(owed, reply("250 2.1.5 ok")); why != nil {
		t.Errorf("without ENHANCEDSTATUSCODES: %v", why)
	}
}

// Miss keeps the first reason. Nobody needs the reply to the empty message.
func TestMiss(t *testing.T) {
	var r Record
	r.Miss(link.Owed{Message: &r, Step: link.Message}, ended(link.Message))
	if r.Lost != nil {
		t.Errorf("lost for %v", r.Lost)
	}
	first := slow(link.Rcpt)
	r.Miss(link.Owed{Message: &r, Step: link.Rcpt}, first)
	r.Miss(link.Owed{Message: &r, Step: link.Final}, ended(link.Final))
	if r.Lost != first {
		t.Errorf("lost for %v, want the first reason", r.Lost)
	}
}

func TestRecipientQuestions(t *testing.T) {
	for rcpt, want := range map[string]struct {
		any          bool
		firstRefused int
		nobodyLeft   bool
	}{
		"":                {false, -1, false},
		"250":             {true, -1, false},
		"251 x/252 y":     {true, -1, false},
		"550":             {false, 0, true},
		"450/550":         {false, 0, true},
		"250/550":         {true, 1, false},
		"550/":            {false, 0, false},  // the second one was not answered
		"421":             {false, -1, false}, // says nothing about an address
		"221":             {false, -1, false},
		"421/550":         {false, 1, false},
		"550/421":         {false, 0, false},
		"552 too many":    {false, 0, true},
		"/250 second one": {true, -1, false},
	} {
		r := facts{rcpt: rcpt}.record()
		if r.AnyAccepted() != want.any || r.FirstRefused() != want.firstRefused {
			t.Errorf("%q: any %v, first refused %d", rcpt, r.AnyAccepted(), r.FirstRefused())
		}
		if got := r.NobodyLeft(func(int) bool { return true }); got != want.nobodyLeft {
			t.Errorf("%q: nobody left: %v", rcpt, got)
		}
		for i, reply := range r.Rcpt {
			if r.Accepted(i) != reply.Positive() || r.Refused(i) != reply.Negative() {
				t.Errorf("%q: recipient %d accepted %v, refused %v", rcpt, i, r.Accepted(i), r.Refused(i))
			}
		}
	}
	// A recipient that was not asked for is not among those who are left.
	r := facts{rcpt: "550//550"}.record()
	if !r.NobodyLeft(func(i int) bool { return i != 1 }) || r.NobodyLeft(func(i int) bool { return i == 1 }) {
		t.Error("who was asked for does not count")
	}
}

func TestDeliverable(t *testing.T) {
	ask(t, map[string]question{
		"accepted":                      {facts{mode: all, mail: "250", rcpt: "250/250"}, true},
		"one refused, all or nothing":   {facts{mode: all, mail: "250", rcpt: "250/550"}, false},
		"one refused, partial":          {facts{mode: partly, mail: "250", rcpt: "250/550"}, true},
		"one deferred, all or nothing":  {facts{mode: all, mail: "250", rcpt: "450/250"}, false},
		"all refused":                   {facts{mode: partly, mail: "250", rcpt: "550/550"}, false},
		"the sender refused":            {facts{mode: partly, mail: "550", rcpt: "250"}, false},
		"the sender refused, all of it": {facts{mode: partly, mail: "550", rcpt: "503"}, false},
		"nothing answered":              {facts{mode: partly, rcpt: "/"}, false},
		"one unanswered":                {facts{mode: partly, mail: "250", rcpt: "250/"}, true},
		"421 to one, partial":           {facts{mode: partly, mail: "250", rcpt: "250/421"}, true},
	}, (*Record).Deliverable)
}

// What is Sent was committed, and a verdict that can be believed accepted it.
func TestSent(t *testing.T) {
	good := facts{mode: data, mail: "250", rcpt: "250", data: "354", final: "250 2.0.0 queued", committed: true}
	change := func(f func(*facts)) facts { c := good; f(&c); return c }
	ask(t, map[string]question{
		"good":                  {good, true},
		"any positive code":     {change(func(f *facts) { f.final = "259 x" }), true},
		"to one of two":         {change(func(f *facts) { f.rcpt = "550/250" }), true},
		"lost afterwards":       {change(func(f *facts) { f.lost = ended(link.Final) }), true},
		"not committed":         {change(func(f *facts) { f.committed = false }), false},
		"refused":               {change(func(f *facts) { f.final = "554 no" }), false},
		"deferred":              {change(func(f *facts) { f.final = "451 later" }), false},
		"421":                   {change(func(f *facts) { f.final = "421 bye" }), false},
		"221":                   {change(func(f *facts) { f.final = "221 bye" }), false},
		"not answered":          {change(func(f *facts) { f.final = "" }), false},
		"shifted":               {change(func(f *facts) { f.shifted = true }), false},
		"for nobody":            {change(func(f *facts) { f.rcpt = "550/" }), false},
		"from a refused sender": {change(func(f *facts) { f.mail = "550" }), false},
		"nothing at all":        {facts{rcpt: "/"}, false},
	}, (*Record).Sent)
}

// The row "committed" of the table of outcomes, and that of EarlyData.
func TestUnknown(t *testing.T) {
	ask(t, map[string]question{
		"drop":                 {facts{mode: data, mail: "250", rcpt: "250", data: "354", committed: true, lost: ended(link.Final)}, true},
		"reset":                {facts{mode: data, mail: "250", rcpt: "250", data: "354", committed: true, lost: reset(link.Final)}, true},
		"stall":                {facts{mode: data, mail: "250", rcpt: "250", data: "354", committed: true, lost: slow(link.Final)}, true},
		"garbage":              {facts{mode: data, mail: "250", rcpt: "250", data: "354", committed: true, lost: garbage(link.Final)}, true},
		"wrong class":          {facts{mode: data, mail: "250", rcpt: "250", data: "354", committed: true, lost: outOfStep(link.Final, "354 go")}, true},
		"partial, one refused": {facts{mode: data, mail: "250", rcpt: "550/250", data: "354", committed: true, lost: ended(link.Final)}, true},
		"accepted":             {facts{mode: data, mail: "250", rcpt: "250", data: "354", committed: true, final: "250"}, false},
		"refused":              {facts{mode: data, mail: "250", rcpt: "250", data: "354", committed: true, final: "554"}, false},
		"421":                  {facts{mode: data, mail: "250", rcpt: "250", data: "354", committed: true, final: "421", lost: closing(link.Final, "421")}, false},
		"drop before the end":  {facts{mode: data, mail: "250", rcpt: "250", data: "354", lost: ended(link.Message)}, false},
		"drop at DATA":         {facts{mode: data, mail: "250", rcpt: "250", lost: ended(link.Data)}, false},
		"nothing at all":       {facts{rcpt: "/"}, false},
		"shifted":              {facts{mode: codes, mail: "250", rcpt: "250", committed: true, final: "250 2.1.5", shifted: true}, true},
		"shifted, refused":     {facts{mode: codes, mail: "250", rcpt: "250", committed: true, final: "550 5.1.1", shifted: true}, true},
		"shifted, all refused": {facts{mode: codes, mail: "550 5.1.8", rcpt: "550 5.1.8", committed: true, together: true, final: "550 5.1.8", shifted: true}, false},

		"early, drop at once":                        {facts{mode: early, rcpt: "/", committed: true, together: true, lost: ended(link.Mail)}, true},
		"early, drop at RCPT":                        {facts{mode: early, mail: "250", rcpt: "", committed: true, together: true, lost: ended(link.Rcpt)}, true},
		"early, garbage at MAIL":                     {facts{mode: early, rcpt: "", committed: true, together: true, lost: garbage(link.Mail)}, true},
		"early, drop after a refused sender":         {facts{mode: early, mail: "550", rcpt: "", committed: true, together: true, lost: ended(link.Rcpt)}, false},
		"early, drop after all refused":              {facts{mode: early, mail: "250", rcpt: "550/450", committed: true, together: true, lost: ended(link.Final)}, false},
		"early, reset after a refused sender":        {facts{mode: early, mail: "550", rcpt: "", committed: true, together: true, lost: reset(link.Rcpt)}, false},
		"early, stall after a refused sender":        {facts{mode: early, mail: "550", rcpt: "", committed: true, together: true, lost: slow(link.Rcpt)}, true},
		"early, garbage after a refused sender":      {facts{mode: early, mail: "550", rcpt: "", committed: true, together: true, lost: garbage(link.Rcpt)}, true},
		"early, stall after all were refused":        {facts{mode: early, mail: "550", rcpt: "503", committed: true, together: true, lost: slow(link.Final)}, false},
		"early, 421 to MAIL, then the end":           {facts{mode: early, mail: "421", rcpt: "", committed: true, together: true, lost: then(closing(link.Mail, "421"), ended(link.Rcpt))}, false},
		"early, 421 to MAIL, then silence":           {facts{mode: early, mail: "421", rcpt: "", committed: true, together: true, lost: then(closing(link.Mail, "421"), slow(link.Rcpt))}, true},
		"early, one refused, one not answered":       {facts{mode: early, mail: "250", rcpt: "550/", committed: true, together: true, lost: ended(link.Rcpt)}, true},
		"early, one accepted, one 421, the end (T1)": {facts{mode: early, mail: "250", rcpt: "250/421", committed: true, together: true, lost: closing(link.Rcpt, "421")}, true},
		"early, sender refused, one accepted (T11)":  {facts{mode: early, mail: "550", rcpt: "250", committed: true, together: true, lost: ended(link.Final)}, true},
		"early, sender refused, message taken (T11)": {facts{mode: early, mail: "550", rcpt: "250", committed: true, together: true, final: "250"}, true},
		"early, sender refused, message refused":     {facts{mode: early, mail: "550", rcpt: "250", committed: true, together: true, final: "554"}, false},
		"early, all refused, message taken":          {facts{mode: early, mail: "250", rcpt: "550", committed: true, together: true, final: "250"}, false},
		"early, 421 to one, message taken":           {facts{mode: early, mail: "250", rcpt: "250/421", committed: true, together: true, final: "250", lost: closing(link.Rcpt, "421")}, false},
		"early, the one not asked for":               {facts{mode: Mode{Chunking: true, Skip: []bool{false, true}}, mail: "250", rcpt: "550/", committed: true, together: true, lost: ended(link.Final)}, false},
	}, (*Record).Unknown)
}

// What a session may be started anew for, see behaviour.md, "Start once more".
func TestStartsAgain(t *testing.T) {
	rows := map[string]question{
		"RSET, garbage":       {facts{mode: partly, rcpt: "", lost: garbage(link.Reset)}, true},
		"RSET, out of step":   {facts{mode: partly, rcpt: "", lost: outOfStep(link.Reset, "354")}, true},
		"RSET refused":        {facts{mode: partly, reset: "502", rcpt: "", lost: &link.Failure{Kind: link.Refused, Step: link.Reset, Reply: reply("502")}}, true},
		"EHLO, the end":       {facts{mode: partly, rcpt: "", lost: ended(link.Hello)}, true},
		"EHLO, garbage":       {facts{mode: partly, rcpt: "", lost: garbage(link.Hello)}, true},
		"unasked before MAIL": {facts{mode: partly, rcpt: "", lost: unaskedAt(link.Mail, "451 4.4.2 timeout")}, true},
		"MAIL, garbage":       {facts{mode: partly, rcpt: "", lost: garbage(link.Mail)}, true},
		"RCPT, garbage":       {facts{mode: partly, mail: "250", rcpt: "", lost: garbage(link.Rcpt)}, true},
		"RCPT, out of step":   {facts{mode: partly, mail: "250", rcpt: "", lost: outOfStep(link.Rcpt, "354")}, true},
		"DATA, garbage":       {facts{mode: partly, mail: "250", rcpt: "250", lost: garbage(link.Data)}, true},
		"DATA, out of step":   {facts{mode: partly, mail: "250", rcpt: "250", lost: outOfStep(link.Data, "250")}, true},
		"DATA, one too many":  {facts{mode: partly, mail: "250", rcpt: "250", data: "354", lost: unaskedAt(link.Data, "")}, true},

		"RCPT refused":                     {facts{mode: all, mail: "250", rcpt: "550"}, false},
		"RCPT deferred":                    {facts{mode: all, mail: "250", rcpt: "450"}, false},
		"RCPT refused, x.4.z":              {facts{mode: all, mail: "250", rcpt: "450 4.4.4"}, false},
		"RCPT refused, and so DATA":        {facts{mode: partly, mail: "250", rcpt: "550", data: "554 no valid recipients"}, false},
		"RCPT refused, and so DATA, 503":   {facts{mode: partly, mail: "250", rcpt: "550/550", data: "503 RCPT first"}, false},
		"RCPT refused, then the end":       {facts{mode: partly, mail: "250", rcpt: "550/", lost: ended(link.Rcpt)}, true},
		"one of two refused, DATA refused": {facts{mode: partly, mail: "250", rcpt: "550/250", data: "451"}, true},

		"message, unasked":       {facts{mode: partly, mail: "250", rcpt: "250", data: "354", lost: unaskedAt(link.Message, "552 too large")}, false},
		"message, garbage":       {facts{mode: partly, mail: "250", rcpt: "250", data: "354", lost: garbage(link.Message)}, false},
		"message, the end":       {facts{mode: partly, mail: "250", rcpt: "250", data: "354", lost: ended(link.Message)}, true},
		"message, a reset":       {facts{mode: partly, mail: "250", rcpt: "250", data: "354", lost: reset(link.Message)}, true},
		"message, 421":           {facts{mode: partly, mail: "250", rcpt: "250", data: "354", lost: closing(link.Message, "421")}, true},
		"message, its source":    {facts{mode: partly, mail: "250", rcpt: "250", data: "354", stop: Withheld, lost: ended(link.Message)}, false},
		"message, too large":     {facts{mode: partly, mail: "250", rcpt: "250", data: "354", stop: TooLarge}, false},
		"message, 8-bit":         {facts{mode: partly, mail: "250", rcpt: "250", data: "354", stop: EightBit}, false},
		"chunk refused":          {facts{mode: chunked, mail: "250", rcpt: "250", chunk: "452 4.3.1 full"}, false},
		"chunk refused for good": {facts{mode: chunked, mail: "250", rcpt: "250", chunk: "552 5.3.4"}, false},
		"chunk, connection":      {facts{mode: chunked, mail: "250", rcpt: "250", chunk: "452 4.4.5 enough"}, true},
		"chunk, connection, 5yz": {facts{mode: chunked, mail: "250", rcpt: "250", chunk: "554 5.4.7 enough"}, true},
		"chunk, 503":             {facts{mode: chunked, mail: "250", rcpt: "250", chunk: "503 what"}, true},
		"chunk, 421":             {facts{mode: chunked, mail: "250", rcpt: "250", chunk: "421 bye", lost: closing(link.Chunk, "421")}, true},
		"chunk, garbage":         {facts{mode: chunked, mail: "250", rcpt: "250", lost: garbage(link.Chunk)}, false},

		"final, refused":                 {facts{mode: data, mail: "250", rcpt: "250", data: "354", committed: true, final: "554 5.7.1 spam"}, false},
		"final, deferred":                {facts{mode: data, mail: "250", rcpt: "250", data: "354", committed: true, final: "451 4.7.1 later"}, false},
		"final, connection":              {facts{mode: data, mail: "250", rcpt: "250", data: "354", committed: true, final: "451 4.4.5 enough"}, true},
		"final, connection, 5yz":         {facts{mode: data, mail: "250", rcpt: "250", data: "354", committed: true, final: "554 5.4.7 enough"}, true},
		"final, code of another class":   {facts{mode: data, mail: "250", rcpt: "250", data: "354", committed: true, final: "554 4.4.5 what"}, false},
		"final, 14.4.5":                  {facts{mode: data, mail: "250", rcpt: "250", data: "354", committed: true, final: "451 14.4.5 what"}, false},
		"final, 503":                     {facts{mode: data, mail: "250", rcpt: "250", data: "354", committed: true, final: "503 what"}, true},
		"final, 530":                     {facts{mode: data, mail: "250", rcpt: "250", data: "354", committed: true, final: "530 log in"}, true},
		"final, 421":                     {facts{mode: data, mail: "250", rcpt: "250", data: "354", committed: true, final: "421 bye", lost: closing(link.Final, "421 bye")}, true},
		"final, 221":                     {facts{mode: data, mail: "250", rcpt: "250", data: "354", committed: true, final: "221 bye", lost: closing(link.Final, "221 bye")}, true},
		"final, the end":                 {facts{mode: data, mail: "250", rcpt: "250", data: "354", committed: true, lost: ended(link.Final)}, false},
		"sent":                           {facts{mode: data, mail: "250", rcpt: "250", data: "354", committed: true, final: "250"}, false},
		"sent, then the end":             {facts{mode: data, mail: "250", rcpt: "250", data: "354", committed: true, final: "250", lost: ended(link.Final)}, false},
		"sent to one, the other one 503": {facts{mode: data, mail: "250", rcpt: "250/503", data: "354", committed: true, final: "250"}, false},

		"early, sender refused":                 {facts{mode: early, mail: "550", rcpt: "503", committed: true, together: true, final: "503"}, true},
		"early, sender refused, then the end":   {facts{mode: early, mail: "451 4.4.2", rcpt: "", committed: true, together: true, lost: ended(link.Rcpt)}, true},
		"early, sender refused, then a reset":   {facts{mode: early, mail: "554", rcpt: "503", committed: true, together: true, lost: reset(link.Final)}, true},
		"early, 421 to MAIL, then the end":      {facts{mode: early, mail: "421", rcpt: "", committed: true, together: true, lost: then(closing(link.Mail, "421"), ended(link.Rcpt))}, true},
		"early, 421 to MAIL, then silence":      {facts{mode: early, mail: "421", rcpt: "", committed: true, together: true, lost: then(closing(link.Mail, "421"), slow(link.Rcpt))}, false},
		"early, 421 to RCPT, refused":           {facts{mode: early, mail: "250", rcpt: "421", committed: true, together: true, final: "503", lost: closing(link.Rcpt, "421")}, true},
		"early, 421 to RCPT, taken":             {facts{mode: early, mail: "250", rcpt: "250/421", committed: true, together: true, final: "250", lost: closing(link.Rcpt, "421")}, false},
		"early, recipient refused":              {facts{mode: early, mail: "250", rcpt: "550", committed: true, together: true, final: "503"}, false},
		"early, recipient refused, then an end": {facts{mode: early, mail: "250", rcpt: "550", committed: true, together: true, lost: ended(link.Final)}, false},
		"early, the end":                        {facts{mode: early, rcpt: "", committed: true, together: true, lost: ended(link.Mail)}, false},
		"early, sender refused, message taken":  {facts{mode: early, mail: "550", rcpt: "250", committed: true, together: true, final: "250"}, false},
	}
	// MAIL and DATA with any code; 421, 221, 503 and 530 anywhere.
	for _, text := range []string{"450 4.7.1", "451", "452 4.4.5", "550 5.7.1", "552", "554 5.7.1", "503", "530", "421", "221"} {
		row := question{facts{mode: partly, mail: text, rcpt: "503"}, true}
		at := question{facts{mode: partly, mail: "250", rcpt: "250", data: text}, true}
		if code := text[:3]; code == "421" || code == "221" {
			row.lost, at.lost = closing(link.Mail, text), closing(link.Data, text)
		}
		rows["MAIL, "+text], rows["DATA, "+text] = row, at
	}
	for _, text := range []string{"421", "221", "503", "530"} {
		row := question{facts{mode: partly, mail: "250", rcpt: "250/" + text}, true}
		if text == "421" || text == "221" {
			row.lost = closing(link.Rcpt, text)
		}
		rows["RCPT, "+text] = row
	}
	// Whoever gave up does not want another try, and a server that is silent is slow.
	for _, step := range []link.Step{link.Hello, link.Reset, link.Mail, link.Rcpt, link.Data, link.Message, link.Chunk} {
		for name, kind := range map[string]link.Kind{"time-out": link.TimedOut, "cancel": link.Cancelled, "given up": link.GivenUp} {
			rows[fmt.Sprintf("%s at step %d", name, step)] = question{facts{mode: partly, rcpt: "", lost: &link.Failure{Kind: kind, Step: step}}, false}
		}
		rows[fmt.Sprintf("the end at step %d", step)] = question{facts{mode: partly, rcpt: "", lost: ended(step)}, true}
	}
	ask(t, rows, (*Record).StartsAgain)
}

// What a session is given up for; see behaviour.md, "A session is given up".
func TestSessionWrong(t *testing.T) {
	rows := map[string]question{
		"sent":                           {facts{mode: data, mail: "250", rcpt: "250", data: "354", committed: true, final: "250"}, false},
		"RCPT refused":                   {facts{mode: all, mail: "250", rcpt: "550"}, false},
		"RCPT deferred":                  {facts{mode: all, mail: "250", rcpt: "450/250"}, false},
		"too many recipients":            {facts{mode: all, mail: "250", rcpt: "250/452"}, false},
		"RCPT refused, and so DATA":      {facts{mode: partly, mail: "250", rcpt: "550", data: "554 nobody"}, false},
		"RCPT refused, and so DATA, 503": {facts{mode: partly, mail: "250", rcpt: "550", data: "503 RCPT first"}, false},
		"RSET refused":                   {facts{mode: partly, reset: "500", rcpt: ""}, true},
		"message refused":                {facts{mode: data, mail: "250", rcpt: "250", data: "354", committed: true, final: "554"}, false},
		"message deferred":               {facts{mode: data, mail: "250", rcpt: "250", data: "354", committed: true, final: "451"}, true},
		"message refused, 503":           {facts{mode: data, mail: "250", rcpt: "250", data: "354", committed: true, final: "503"}, true},
		"message refused, 530":           {facts{mode: data, mail: "250", rcpt: "250", data: "354", committed: true, final: "530"}, true},
		"chunk refused":                  {facts{mode: chunked, mail: "250", rcpt: "250", chunk: "552"}, true},
		"chunk deferred":                 {facts{mode: chunked, mail: "250", rcpt: "250", chunk: "452"}, true},
		"last chunk refused":             {facts{mode: chunked, mail: "250", rcpt: "250", committed: true, final: "554"}, true},
		"last chunk deferred":            {facts{mode: chunked, mail: "250", rcpt: "250", committed: true, final: "452"}, true},
		"early, for nobody":              {facts{mode: early, mail: "250", rcpt: "550", committed: true, together: true, final: "554"}, false},
		"the end":                        {facts{mode: data, mail: "250", rcpt: "", lost: ended(link.Rcpt)}, false}, // the link says so
		"unasked 421":                    {facts{mode: data, rcpt: "", lost: closing(link.Mail, "421")}, true},
		"unasked 503":                    {facts{mode: data, rcpt: "", lost: unaskedAt(link.Mail, "503")}, true},
	}
	for _, text := range []string{"450", "451", "452", "550", "552", "554", "503", "530", "421", "221"} {
		rows["MAIL, "+text] = question{facts{mode: partly, mail: text, rcpt: "503"}, true}
		rows["DATA, "+text] = question{facts{mode: partly, mail: "250", rcpt: "550/250", data: text}, true}
	}
	for _, text := range []string{"421", "221", "503", "530"} {
		rows["RCPT, "+text] = question{facts{mode: partly, mail: "250", rcpt: "250/" + text, data: "354", committed: true, final: "250"}, true}
	}
	ask(t, rows, (*Record).SessionWrong)
}

// A chunk that was refused, or that met a refused envelope, ends the session.
func TestEnds(t *testing.T) {
	ask(t, map[string]question{
		"sent with DATA":          {facts{mode: data, mail: "250", rcpt: "250", data: "354", committed: true, final: "250"}, false},
		"refused after DATA":      {facts{mode: data, mail: "250", rcpt: "250", data: "354", committed: true, final: "554"}, false},
		"sent with BDAT":          {facts{mode: chunked, mail: "250", rcpt: "250", committed: true, final: "250"}, false},
		"refused after BDAT":      {facts{mode: chunked, mail: "250", rcpt: "250", committed: true, final: "554"}, true},
		"chunk refused":           {facts{mode: chunked, mail: "250", rcpt: "250", chunk: "452"}, true},
		"envelope refused, BDAT":  {facts{mode: chunked, mail: "250", rcpt: "550"}, false},
		"early, envelope refused": {facts{mode: early, mail: "250", rcpt: "550", committed: true, together: true, final: "503"}, true},
		"early, taken for nobody": {facts{mode: early, mail: "250", rcpt: "550", committed: true, together: true, final: "250"}, true},
		"early, sent":             {facts{mode: early, mail: "250", rcpt: "250", committed: true, together: true, final: "250"}, false},
		"early, sent to one":      {facts{mode: early, mail: "250", rcpt: "250/550", committed: true, together: true, final: "250"}, false},
		"shifted":                 {facts{mode: codes, mail: "250", rcpt: "250", committed: true, final: "250 2.1.5", shifted: true}, true},
	}, (*Record).Ends)
}

func TestAboutAddress(t *testing.T) {
	for text, want := range map[string]bool{
		"250 2.1.5 ok": true, "250 2.1.0": true, "550 5.1.1 no": true, "450 4.1.1 later": true, "250 2.1.5": true,
		"250 2.0.0 ok": false, "250 2.6.0 2.1.5": false, "250 ok": false, "250": false, "250 5.1.1 ok": false, "550 2.1.5": false,
		"250 12.1.5": false, "250 2.11.5": false, "250 2.1": false, "250 .1.5": false, "250 2..1": false, "554 5.7.1": false,
	} {
		r := Record{Mode: codes}
		if r.aboutAddress(reply(text)) != want {
			t.Errorf("%s: %v", text, !want)
		}
		r.Mode.EnhancedCodes = false
		if r.aboutAddress(reply(text)) {
			t.Errorf("%s: believed of a server that has no such codes", text)
		}
	}
}

// A reply about an address is no verdict on a chunk. Message data after a 354 has that
// as its guard.
func TestShifted(t *testing.T) {
	plain := codes
	plain.EnhancedCodes = false
	afterData := Mode{EnhancedCodes: true}
	ask(t, map[string]question{
		"no final reply":       {facts{mode: codes, mail: "250", rcpt: "250", committed: true}, false},
		"a verdict":            {facts{mode: codes, mail: "250", rcpt: "250", committed: true, final: "250 2.0.0 ok"}, false},
		"without a code":       {facts{mode: codes, mail: "250", rcpt: "250", committed: true, final: "250 ok"}, false},
		"of RCPT":              {facts{mode: codes, mail: "250", rcpt: "250", committed: true, final: "250 2.1.5 ok"}, true},
		"of RCPT, refused":     {facts{mode: codes, mail: "250", rcpt: "250", committed: true, final: "550 5.1.1 no"}, true},
		"not offered":          {facts{mode: plain, mail: "250", rcpt: "250", committed: true, final: "250 2.1.5 ok"}, false},
		"after DATA":           {facts{mode: afterData, mail: "250", rcpt: "250", data: "354", committed: true, final: "250 2.1.5 ok"}, false},
		"after DATA, one more": {facts{mode: afterData, mail: "250", rcpt: "250", data: "354", committed: true, final: "250", surplus: "550"}, false},
		"accepted, accepted":   {facts{mode: plain, mail: "250", rcpt: "250", committed: true, final: "250", surplus: "250"}, false},
		"accepted, refused":    {facts{mode: plain, mail: "250", rcpt: "250", committed: true, final: "250", surplus: "550"}, true},
		"accepted, deferred":   {facts{mode: plain, mail: "250", rcpt: "250", committed: true, final: "250", surplus: "451"}, true},
		"accepted, the 421":    {facts{mode: plain, mail: "250", rcpt: "250", committed: true, final: "250", surplus: "421 bye"}, false},
		"accepted, the 221":    {facts{mode: plain, mail: "250", rcpt: "250", committed: true, final: "250", surplus: "221 bye"}, false},
		"refused, refused":     {facts{mode: plain, mail: "250", rcpt: "250", committed: true, final: "554", surplus: "554"}, false},
	}, (*Record).shifted)
}

// In a flight with its message one reply too many may stand anywhere. When that leaves
// open what became of the message, or of a recipient, nobody knows.
func TestTooMany(t *testing.T) {
	row := func(mail, rcpt, final, surplus string) facts {
		return facts{mode: early, mail: mail, rcpt: rcpt, final: final, surplus: surplus, committed: true, together: true}
	}
	skips := row("250", "250/", "250", "250")
	skips.mode.Skip = []bool{false, true}
	noise := func(f facts) facts { f.noise = true; return f }
	ask(t, map[string]question{
		"no reply":                        {noise(row("250", "250", "250", "")), true},
		"no reply after refusals":         {noise(row("250", "550", "503", "")), false},
		"no reply after a refusal":        {noise(row("250", "250", "550", "")), true},
		"a 354 after a refusal":           {row("250", "250", "550", "354"), true},
		"a 354 after refusals":            {row("250", "550", "503", "354"), false},
		"no reply after a chunk":          {noise(facts{mode: chunked, mail: "250", rcpt: "250", committed: true, final: "250"}), false},
		"none":                            {row("250", "250", "250", ""), false},
		"all accept":                      {row("250", "250", "250", "250"), false},
		"all accept, one not asked for":   {skips, false},
		"the last one refuses":            {row("250", "250", "250", "550"), true},
		"421 at the end":                  {row("250", "250", "250", "421"), false},
		"which recipient":                 {row("250", "250/550", "250", "250"), true},
		"which recipient, all the same":   {row("250", "250/250", "250", "250"), false},
		"the refused one may be extra":    {row("250", "550", "250", "250"), true},
		"the refused sender may be extra": {row("550", "250", "250", "250"), true},
		"refused whatever is extra":       {row("250", "550", "554", "554"), false},
		"refused, and a late acceptance":  {row("250", "550", "503", "250"), false},
		"the sender refused, one taken":   {row("550", "503/250", "550", "250"), true},
		"everything refused":              {row("550", "503", "503", "503"), false},
		"may be accepted late":            {row("250", "250", "550", "250"), true},
	}, (*Record).tooMany)
}

func TestMixed(t *testing.T) {
	for _, tc := range []struct {
		mail, rcpt string
		from, to   int
		want       bool
	}{
		{"250", "250/250", 0, 2, false},
		{"250", "250/550", 0, 2, true},
		{"250", "250/550", 0, 1, false},
		{"250", "250/550", 1, 2, true}, // MAIL counts in any case
		{"550", "503/503", 0, 2, false},
		{"550", "250/503", 0, 2, true},
		{"", "550/450", 0, 2, false},
		{"", "550/250", 0, 2, true},
		{"", "/", 0, 2, false},
		{"250", "421/", 0, 2, true},
		{"550", "250", 0, 0, false},
	} {
		r := facts{mail: tc.mail, rcpt: tc.rcpt}.record()
		if got := r.mixed(tc.from, tc.to); got != tc.want {
			t.Errorf("MAIL %s, RCPT %s, %d to %d: %v", tc.mail, tc.rcpt, tc.from, tc.to, got)
		}
		before := slices.Clone(r.Rcpt)
		r.forget(tc.from, tc.to)
		for i := range r.Rcpt {
			want := before[i]
			if tc.want && i >= tc.from && i < tc.to {
				want = link.Reply{}
			}
			if r.Rcpt[i] != want {
				t.Errorf("MAIL %s, RCPT %s, %d to %d: recipient %d is %v, want %v", tc.mail, tc.rcpt, tc.from, tc.to, i, r.Rcpt[i], want)
			}
		}
		if want := reply(tc.mail); tc.want && r.Mail.Code != 0 || !tc.want && r.Mail != want {
			t.Errorf("MAIL %s, RCPT %s: MAIL is %v", tc.mail, tc.rcpt, r.Mail)
		}
	}
}

// A reply to the message that differs from those to the envelope may be one of them.
func TestMixedWithFinal(t *testing.T) {
	for _, tc := range []struct {
		mail, rcpt, final string
		want              bool
	}{
		{"250", "250", "250 2.1.5", false},
		{"250", "250", "550 5.1.1", true},
		{"550", "550", "550 5.1.8", false},
		{"550", "550", "250 2.1.5", true},
	} {
		r := facts{mail: tc.mail, rcpt: tc.rcpt, final: tc.final}.record()
		if got := r.mixed(0, 1); got != tc.want {
			t.Errorf("MAIL %s, RCPT %s, message %s: %v", tc.mail, tc.rcpt, tc.final, got)
		}
	}
}
