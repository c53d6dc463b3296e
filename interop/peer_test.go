//go:build linux

package interop

import (
	"fmt"
	"io/fs"
	"slices"
	"time"
)

// peer is a kind of server that the conformance suite runs against. A file
// peer_NAME_test.go declares one: what it is, what it offers, how it is started
// and where it keeps what it accepted. Its configuration is in testdata.
type peer struct {
	name    string
	program string // which version, and where it comes from
	offers  offers
	needs   []need // what must be installed

	// build makes what start needs once, in the place's directory; it may be nil.
	build func(place) error
	// start configures and starts the server. It runs in the supervisor, again for
	// each restart. What it starts stays in the foreground.
	start func(*station) error
	// stored lists what the server accepted and delivered so far.
	stored func(place) ([]stored, error)
	// queued lists the files of messages that the server accepted and has not
	// delivered yet, as patterns below the place's directory. Files without the bits
	// of queuedMode do not count: the server is still receiving them.
	queued     []string
	queuedMode fs.FileMode
	// words are those of its log, nil where that says nothing of what clients do.
	words *logWords
}

// peers are the servers of the suite, in the order of docs/servers.md.
var peers = []*peer{&postfix, &exim, &sendmail, &courier, &haraka, &smtpServer, &aiosmtpd, &goSMTP, &goSMTPOld, &mailpit}

// offers is what a server offers. Every field must be filled in: with yes, or with
// no and the reason.
type offers struct {
	clear, startTLS, implicitTLS offer
	// mechanisms are all that the server lists over TLS, or in clear where it has no
	// TLS; logins are those that the library can use.
	mechanisms, logins []string
	extensions         []string // all keywords of its EHLO reply but AUTH and STARTTLS
	sizeLimit          int64    // of a message, in octets
	sizeHidden         bool     // SIZE does not name it

	octets offer // stored as they were sent
	// altered is what it makes of the octets otherwise; nil is a message that it
	// refuses. test names one of octetTests, or is empty.
	altered func(test string, canonical []byte) []byte

	refusedSender    offer
	refusedRecipient offer
	busyRecipient    offer // refused with a 4yz
	refusedMessage   offer
	tooLarge         offer
	earlyData        offer
	restart          offer
	flightsAlone     string // what the client does where an envelope behind a message is not taken
	flightsDropped   bool   // because it is not answered, which the client sees after seconds

	// The strict instance.
	sessions       offer // no more than maxSessions at once from one address
	messages       offer // no more than maxMessages in one of them
	recipients     offer // no more than maxRecipients for one message
	idle           offer // hangs up on a session that is idle for idleTime
	literal        offer // refuses an address literal in EHLO
	greetPause     offer // makes clients wait for the greeting, and refuses those who do not
	slowedRefusals offer // answers late when recipients were refused
}

// Limits of the strict instance.
const (
	maxSessions   = 3
	maxMessages   = 5
	maxRecipients = 10
	idleTime      = 2 * time.Second
	// slowRefusalsAfter is how many refused recipients are answered at once.
	slowRefusalsAfter = 3
	// greetPause is how long clients have to wait for the greeting.
	greetPause = 500 * time.Millisecond
)

// offer says whether a server offers something.
type offer struct {
	given  bool
	partly bool
	note   string // what exactly, or why not
}

// yes is an offer; note says more where there is more to say.
func yes(note string) offer { return offer{given: true, note: note} }

// partly is an offer with a reservation.
func partly(but string) offer { return offer{given: true, partly: true, note: but} }

// no is the lack of an offer, with the reason.
func no(why string) offer { return offer{note: why} }

// has reports whether the server lists the extension.
func (o *offers) has(keyword string) bool { return slices.Contains(o.extensions, keyword) }

// peerNamed finds a peer.
func peerNamed(name string) (*peer, error) {
	i := slices.IndexFunc(peers, func(p *peer) bool { return p.name == name })
	if i < 0 {
		return nil, fmt.Errorf("no server is called %q", name)
	}
	return peers[i], nil
}
