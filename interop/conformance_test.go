//go:build linux

package interop

import (
	"fmt"
	"strings"
	"testing"
)

// trial is a case that runs against every server that offers what it is about: a
// row of docs/servers.md.
type trial struct {
	name    string
	doc     string // what it does, for docs/servers.md
	strict  bool   // against the instance with low limits
	offered func(*offers) offer
	run     func(*testing.T, *subject)
}

var trials = []trial{
	{"clear text", "two messages over one connection without TLS", false,
		func(o *offers) offer { return o.clear }, tryClear},
	{"STARTTLS", "the same after STARTTLS", false,
		func(o *offers) offer { return o.startTLS }, tryStartTLS},
	{"implicit TLS", "the same over TLS from the first byte", false,
		func(o *offers) offer { return o.implicitTLS }, tryImplicitTLS},
	{"AUTH", "every mechanism that both sides know, with the right password and a wrong one", false,
		(*offers).authentication, tryLogins},
	{"extensions", "the EHLO reply is as declared", false,
		(*offers).listed, tryExtensions},
	{"octets", "dots, long lines, bare line ends, 8-bit octets, a missing last line end, 100 KiB: stored as they were sent", false,
		func(o *offers) offer { return o.octets }, tryOctets},
	{"refused recipient", "one of several, alone, all; all or nothing and Partial; then the next message", false,
		func(o *offers) offer { return o.refusedRecipient }, tryRefusedRecipient},
	{"busy recipient", "the same with a 4yz", false,
		func(o *offers) offer { return o.busyRecipient }, tryBusyRecipient},
	{"refused sender", "on a fresh session and on a used one; then the next message", false,
		func(o *offers) offer { return o.refusedSender }, tryRefusedSender},
	{"refused message", "short and long ones, refused for their content; then the next message", false,
		func(o *offers) offer { return o.refusedMessage }, tryRefusedMessage},
	{"message too large", "announced by SIZE, and found out by the server; then the next message", false,
		func(o *offers) offer { return o.tooLarge }, tryTooLarge},
	{"EarlyData", "messages in one flight with their envelopes, good ones and refused ones in turn", false,
		func(o *offers) offer { return o.earlyData }, tryEarlyData},
	{"shared flights", "several senders over one session: the envelope of a message behind the one in front, refused ones among them; nothing in the logs of Postfix and Exim against it", false,
		(*offers).sharedFlights, trySharedFlights},
	{"restart", "the server is restarted between two messages", false,
		func(o *offers) offer { return o.restart }, tryRestart},
	{"sessions at once", fmt.Sprintf("%d senders where the server allows %d connections: none fails", senders, maxSessions), true,
		func(o *offers) offer { return o.sessions }, trySessions},
	{"messages a session", fmt.Sprintf("more messages than the %d that a session may send: none fails", maxMessages), true,
		func(o *offers) offer { return o.messages }, tryMessages},
	{"recipients a message", fmt.Sprintf("more recipients than the %d that a message may have", maxRecipients), true,
		func(o *offers) offer { return o.recipients }, tryRecipients},
	{"idle time-out", fmt.Sprintf("pauses as long as the %v that the server waits, and longer: none fails", idleTime), true,
		func(o *offers) offer { return o.idle }, tryIdle},
	{"address literal refused", "the error names the option that helps", true,
		func(o *offers) offer { return o.literal }, tryLiteral},
	{"greeting delayed", "the client waits for it", true,
		func(o *offers) offer { return o.greetPause }, tryGreetPause},
	{"refusals slowed down", "replies that come late after several refusals", true,
		func(o *offers) offer { return o.slowedRefusals }, trySlowedRefusals},
}

// authentication is what the matrix says of AUTH.
func (o *offers) authentication() offer {
	if len(o.mechanisms) == 0 {
		return no("")
	}
	return yes(strings.Join(o.mechanisms, " "))
}

// sharedFlights is whether the envelope of a message can follow the one in front.
func (o *offers) sharedFlights() offer {
	switch {
	case !o.has("PIPELINING"):
		return no("it does not offer PIPELINING")
	case o.flightsAlone != "":
		return partly(o.flightsAlone)
	}
	return yes("")
}

// listed is what the matrix says of the extensions.
func (o *offers) listed() offer { return yes(strings.Join(o.extensions, " ")) }

// TestConformance runs the same cases against every server. What a server does not
// offer is declared with a reason; a server that is not installed is a failure.
func TestConformance(t *testing.T) {
	for _, p := range peers {
		t.Run(p.name, func(t *testing.T) {
			t.Run("ample", func(t *testing.T) { p.try(t, false) })
			t.Run("strict", func(t *testing.T) { p.try(t, true) })
		})
	}
}

// try runs the trials of one instance, which is started when there is any.
func (p *peer) try(t *testing.T, strict bool) {
	var s *subject
	for _, trial := range trials {
		if trial.strict != strict {
			continue
		}
		o := trial.offered(&p.offers)
		if o.given && s == nil {
			s = launchPeer(t, p, strict)
		}
		t.Run(trial.name, func(t *testing.T) {
			if !o.given {
				t.Skipf("not offered: %s", o.note)
			}
			showLogs(t, s.Dir)
			trial.run(t, s)
		})
	}
	if s != nil {
		s.expectNothing(t)
	}
}

// TestDeclarations checks that every server says of everything whether it offers
// it, and why not.
func TestDeclarations(t *testing.T) {
	for _, p := range peers {
		for _, trial := range trials {
			if o := trial.offered(&p.offers); !o.given && o.note == "" {
				t.Errorf("%s does not say why it does not offer %q", p.name, trial.name)
			}
		}
	}
}
