//go:build linux

package interop

import (
	"path/filepath"
	"time"
)

// place is where an instance of a server lives.
type place struct {
	Peer    string
	Strict  bool
	ID      string // in the greetings, where the server lets one choose them
	Dir     string
	CA      []byte // PEM
	Port    int    // begins in clear
	TLSPort int    // implicit TLS
	// MaxRecipients, when positive, is how many recipients a message may have.
	MaxRecipients int
}

// below returns a path in the place's directory.
func (p place) below(path string) string { return filepath.Join(p.Dir, path) }

// values are what the templates of a server's configuration are filled with.
type values struct {
	place
	Name, User, Password                        string
	Refused, Later, RefusedSender, RefuseHeader string
	MaxSessions, MaxMessages, MaxRecipients     int
	Idle                                        time.Duration
	SlowRefusalsAfter                           int
	HeaderLimit                                 int // octets of a header section that is too long
	GreetPause                                  time.Duration
	Modules                                     string // npm's
	SizeLimit                                   int64
}

// values are generous, but for the strict instance.
func (p place) values(of *peer) values {
	v := values{
		place: p, Name: serverName, User: account, Password: password,
		Refused: refusedAddr, Later: laterAddr, RefusedSender: refusedSender, RefuseHeader: refuseField,
		HeaderLimit: headerLimit, SlowRefusalsAfter: slowRefusalsAfter, GreetPause: greetPause,
		Modules: filepath.Join(cacheDir(), "npm/node_modules"), SizeLimit: of.offers.sizeLimit,
		Idle: time.Minute, MaxSessions: 50, MaxMessages: 1000, MaxRecipients: 1000,
	}
	if p.Strict {
		v.Idle, v.MaxSessions, v.MaxMessages, v.MaxRecipients = idleTime, maxSessions, maxMessages, maxRecipients
	}
	if p.MaxRecipients > 0 {
		v.MaxRecipients = p.MaxRecipients
	}
	return v
}

// What every server is configured to refuse, beside refusedAddr and laterAddr.
const (
	refusedSender = "refused-sender@test.example"
	// Messages with the field refuseField are refused; so are those with a header
	// section over headerLimit, by servers that can do nothing else.
	refuseField = "X-Interop-Refuse"
	headerLimit = 4000
)
