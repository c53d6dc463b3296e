package outbox_test

import (
	"maps"
	"sync"
	"time"

	"github.com/fe022423/submission/smtptest"
)

// faultyServer is a mail server with a fault now and then.
type faultyServer struct {
	mu     sync.Mutex
	asked  map[string]int
	took   map[string]int // by recipient: accepted, and then hung up without a word
	cut    int            // hung up without a verdict, whether it took the message or not
	healed bool
}

func (f *faultyServer) hook(c smtptest.Command) *smtptest.Answer {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.asked == nil {
		f.asked, f.took = map[string]int{}, map[string]int{}
	}
	if f.healed {
		return nil
	}
	f.asked[c.Verb]++
	every := func(n int) bool { return f.asked[c.Verb]%n == 0 }
	switch {
	case c.Verb == "CONNECT" && every(7):
		return &smtptest.Answer{Reply: "421 4.3.2 busy", Close: true}
	case c.Verb == "RCPT" && every(13):
		return &smtptest.Answer{Reply: "451 4.3.0 later"}
	case c.Verb == "RCPT" && every(29), c.Verb == "DATA" && every(31), c.Verb == "BDAT" && every(31):
		return &smtptest.Answer{Close: true}
	case c.Verb == "MESSAGE" && every(47):
		f.cut++
		f.took[c.Message.To[0]]++
		return &smtptest.Answer{Close: true}
	case c.Verb == "MESSAGE" && every(53):
		f.cut++
		return &smtptest.Answer{Close: true}
	case c.Verb == "MESSAGE" && every(17):
		return &smtptest.Answer{Reply: "452 4.3.1 later"}
	case c.Verb == "MESSAGE" && every(19):
		return &smtptest.Answer{Reply: "250 2.0.0 at last", Delay: 50 * time.Millisecond}
	}
	return nil
}

// end ends the faults.
func (f *faultyServer) end() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.healed = true
}

// accepted is what it took without a word, and so did not record.
func (f *faultyServer) accepted() map[string]int {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.took == nil {
		return map[string]int{}
	}
	return maps.Clone(f.took)
}

func (f *faultyServer) silent() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.cut
}
