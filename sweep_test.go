package submission_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/fe022423/submission"
	"github.com/fe022423/submission/smtptest"
)

var (
	wholeSweep = flag.Bool("wholesweep", false, "run every cell of the sweeps and fault tables, but for a choice within long messages and TLS records")
	fullSweep  = flag.Bool("fullsweep", false, "cut the sessions of the sweep at every octet, also within those")
)

// sampled returns how many cells of a sweep make one that runs: normal when it runs as a
// whole, and more where it is sampled, as it is by default, and with -short.
func sampled(normal int) int {
	switch {
	case *fullSweep:
		return 1
	case *wholeSweep:
		return normal
	case testing.Short():
		return 13 * normal // a prime, so that the sample does not follow the lines
	default:
		return 7 * normal
	}
}

// sweepCase is one good session, to be cut wherever it can be.
type sweepCase struct {
	name    string
	config  smtptest.Config
	options submission.Options
	env     submission.Envelope
	message []byte
}

func sweepCases() []sweepCase {
	small := []byte("Subject: sweep\n\n.dot\n" + string(bytes.Repeat([]byte("x"), 40)) + "\nend without newline")
	large := bytes.Repeat([]byte("A line of the large message, with seventy-six octets in it, CRLF not counted\r\n"), 200<<10/78)
	one := submission.To("one@test.example")
	three := submission.To("one@test.example", "two@test.example", "three@test.example")
	modes := []sweepCase{
		{name: "lockstep", config: smtptest.Config{Extensions: []string{"SIZE", "8BITMIME"}}},
		{name: "pipelined", config: smtptest.Config{Extensions: []string{"PIPELINING", "SIZE", "8BITMIME"}}},
		{name: "BDAT", config: smtptest.Config{Extensions: []string{"PIPELINING", "CHUNKING", "8BITMIME"}}},
		{
			name:    "early data",
			config:  smtptest.Config{Extensions: []string{"PIPELINING", "CHUNKING", "8BITMIME"}},
			options: submission.Options{EarlyData: true},
		},
		{
			name:    "STARTTLS and AUTH",
			config:  smtptest.Config{TLS: smtptest.StartTLS, Accounts: map[string]string{"user": "secret"}, Extensions: []string{"PIPELINING"}},
			options: submission.Options{Auth: submission.Password{Username: "user", Password: "secret"}},
		},
	}
	var cases []sweepCase
	for _, m := range modes {
		if m.options.Auth == nil {
			m.config.TLS, m.options.TLS = smtptest.NoTLS, submission.TLSNone
		}
		m.options.ChunkSize = 50 << 10
		for _, to := range [][]submission.Recipient{one, three} {
			for _, msg := range [][]byte{small, large} {
				c := m
				c.name = fmt.Sprintf("%s, %d recipients, %d octets", m.name, len(to), len(msg))
				c.env = submission.Envelope{From: "sender@test.example", To: to}
				c.message = msg
				cases = append(cases, c)
			}
		}
		partial := m
		partial.name = m.name + ", partial with one refused"
		partial.config.Hook = func(c smtptest.Command) *smtptest.Answer {
			if c.Line == "RCPT TO:<two@test.example>" {
				return &smtptest.Answer{Reply: "550 5.1.1 no such user"}
			}
			return nil
		}
		partial.env = submission.Envelope{From: "sender@test.example", To: three, Partial: true}
		partial.message = small
		cases = append(cases, partial)
	}
	return cases
}

// verdicts counts what the cells of a sweep ended as.
type verdicts struct {
	cells, sent, partly, unknown, notSent, noSession, wrong int
}

// bubble runs a cell in time of its own, so that no wait for a last word of a
// dead connection takes real time.
func (c sweepCase) bubble(t *testing.T, fault smtptest.Fault, v *verdicts) (read, written int64) {
	synctest.Test(t, func(t *testing.T) { read, written = c.cell(t, fault, v) })
	return read, written
}

// cell runs the session over one fault and holds what the client says against
// what the server accepted.
func (c sweepCase) cell(t *testing.T, fault smtptest.Fault, v *verdicts) (read, written int64) {
	config := c.config
	srv := smtptest.NewServer(&config)
	options := c.options
	options.TLSConfig = srv.ClientTLSConfig()
	goAhead := false // the message may have been on its way
	options.Trace = &submission.Trace{
		Received: func(_ context.Context, _ submission.SessionInfo, r submission.Reply) {
			goAhead = goAhead || r.Code == 354
		},
		Sent: func(_ context.Context, _ submission.SessionInfo, line string) {
			goAhead = goAhead || len(line) > 4 && line[:4] == "BDAT"
		},
	}
	nc := fault.Wrap(srv.Pipe())
	ctx := context.Background()
	session, err := submission.NewSession(ctx, nc, "localhost", &options)
	if err == nil {
		_, err = session.Send(ctx, c.env, bytes.NewReader(c.message))
		session.Close()
	} else {
		v.noSession++
	}
	nc.Close()
	read, written = nc.Octets()
	srv.Close() // waits for the session to end: it knows now what it accepted
	accepted := len(srv.Messages())

	v.cells++
	var failed *submission.SendError
	outcome := "sent"
	switch {
	case err == nil:
		v.sent++
	case !errors.As(err, &failed), failed.Outcome == submission.NotSent:
		v.notSent++
		outcome = "not sent"
	case failed.Outcome == submission.PartlySent:
		v.partly++
		outcome = "partly sent"
	default:
		v.unknown++
		outcome = "unknown"
	}
	wrong := accepted > 1 ||
		(outcome == "sent" || outcome == "partly sent") && accepted != 1 ||
		outcome == "not sent" && accepted != 0 ||
		outcome == "unknown" && !goAhead ||
		outcome == "sent" && c.env.Partial || outcome == "partly sent" && !c.env.Partial
	if !wrong && accepted == 1 && !bytes.Equal(srv.Messages()[0].Data, canonical(c.message)) {
		wrong, outcome = true, "message mutilated"
	}
	if wrong {
		v.wrong++
		t.Errorf("%+v: client says %s (%v), server accepted %d", fault, outcome, err, accepted)
	}
	return read, written
}

// canonical is the form in which a text message must arrive.
func canonical(msg []byte) []byte {
	var out []byte
	for i := 0; i < len(msg); i++ {
		switch {
		case msg[i] == '\r' && i+1 < len(msg) && msg[i+1] == '\n':
		case msg[i] == '\r', msg[i] == '\n':
			out = append(out, '\r', '\n')
		default:
			out = append(out, msg[i])
		}
	}
	if len(out) > 0 && !bytes.HasSuffix(out, []byte("\r\n")) {
		out = append(out, '\r', '\n')
	}
	return out
}

// points chooses where to cut total octets: all of them, or all near the ends
// and near the blocks in which a long message is written, and some between; a sample of
// them unless the sweep is to be whole.
func points(total int64, tls bool) []int64 {
	var list []int64
	for n := range total {
		near := n < 1200 || total-n < 1200 || n%(64<<10) < 40 || n%(50<<10) < 40
		step := int64(1)
		switch {
		case tls && total < 32<<10:
			step = 11 // records are cut inside like anything else
		case tls && !near || !near:
			step = 997
		case tls:
			step = 41
		case total > 32<<10:
			step = 7
		}
		if total-n < 600 && tls && !*wholeSweep && !*fullSweep {
			step = 5 // where the verdict is on its way
		}
		if n%int64(sampled(int(step))) == 0 || n == total-1 {
			list = append(list, n)
		}
	}
	return append(list, total)
}

// TestCutSweep cuts good sessions after every octet, in either direction, and
// with writes that fail after having been taken. Whatever the client says of
// the message must be what the server did.
func TestCutSweep(t *testing.T) {
	t.Parallel()
	var all verdicts
	for _, c := range sweepCases() {
		t.Run(c.name, func(t *testing.T) {
			var good, v verdicts
			read, written := c.bubble(t, smtptest.Fault{}, &good)
			if good.sent+good.partly != 1 {
				t.Fatalf("the session does not succeed uncut: %+v", good)
			}
			tls := c.options.Auth != nil
			for _, n := range points(read, tls) {
				c.bubble(t, smtptest.Fault{Read: smtptest.After(n)}, &v)
			}
			for _, n := range points(written, tls) {
				c.bubble(t, smtptest.Fault{Write: smtptest.After(n)}, &v)
				c.bubble(t, smtptest.Fault{Write: smtptest.After(n), Mode: smtptest.FalseError}, &v)
			}
			t.Logf("%+v", v)
			if v.unknown == 0 || v.notSent == 0 {
				t.Errorf("a sweep that never cut the message or its reply: %+v", v)
			}
			all.cells += v.cells
			all.wrong += v.wrong
		})
	}
	t.Logf("cut sweep: %d cells, %d contradictions", all.cells, all.wrong)
}

// TestStallSweep is the cut sweep with a network that goes silent, where only
// time-outs get the client on.
func TestStallSweep(t *testing.T) {
	t.Parallel()
	cells := 0
	for _, c := range sweepCases() {
		if c.options.Auth != nil || len(c.message) > 1000 {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			var v, good verdicts
			read, written := c.bubble(t, smtptest.Fault{}, &good)
			for _, n := range points(read, false) {
				c.bubble(t, smtptest.Fault{Read: smtptest.After(n), Mode: smtptest.Stall}, &v)
			}
			for _, n := range points(written, false) {
				c.bubble(t, smtptest.Fault{Write: smtptest.After(n), Mode: smtptest.Stall}, &v)
			}
			t.Logf("%+v", v)
			cells += v.cells
		})
	}
	t.Logf("stall sweep: %d cells", cells)
}
