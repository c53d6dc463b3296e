package submission

import (
	"net"
	"sync/atomic"
	"time"

	"github.com/fe022423/submission/internal/link"
)

// opening is a session that is being opened: over the connection that NewSession was
// given, or over those that a Dial makes until one will do.
type opening struct {
	cfg   *config
	watch *watch
	info  SessionInfo // what is known of it; Network is that of its last connection
}

// sessions counts the sessions of the process: their numbers must differ also between
// Clients, whose records meet in one log.
var sessions atomic.Uint64

// newOpening gives the session to be opened its number.
func (c *config) newOpening(w *watch) opening {
	return opening{c, w, SessionInfo{ID: sessions.Add(1), Addr: c.shownAddr, Started: time.Now()}}
}

// run has f open the session, between DialStart and DialDone. When a hook panics, nothing
// stays open.
func (o *opening) run(f func() (*Session, error)) (s *Session, err error) {
	done := false
	defer func() {
		if !done && s != nil {
			s.link.Break(&link.Failure{Kind: link.GivenUp, Step: link.Quit})
		}
	}()
	before := o.watch.enter(phaseDial)
	o.watch.dialStart(o.info.Addr)
	s, err = f()
	o.watch.enter(before)
	o.watch.dialDone(o.info, err)
	done = true
	return s, err
}

// linkedTo returns a session over nc that has heard and said nothing yet. A panic of
// nc's closes it.
func (o *opening) linkedTo(nc net.Conn, d *dialing) *Session {
	var s *Session
	defer func() {
		if s == nil {
			nc.Close()
		}
	}()
	cfg := o.cfg
	made := &Session{cfg: cfg, dialing: d, local: cfg.isLocal(nc), secrets: cfg.secretsOver(nc), born: time.Now()}
	if d != nil {
		d.outcome, d.remote = dialAnswered, nc.RemoteAddr()
	}
	made.link = link.New(nc, made.linkConfig())
	if far := made.link.Raw().RemoteAddr(); far != nil {
		o.info.Network = far.Network()
	}
	o.info.Addr = made.secrets.Clean(o.info.Addr)
	made.info = o.info
	s = made
	return s
}

// linkConfig is what the link of a session needs to know.
func (s *Session) linkConfig() link.Config {
	t := &s.cfg.Timeouts
	return link.Config{
		Limits: link.Limits{Greeting: t.Greeting, Command: t.Command, DataInit: t.DataInit,
			DataBlock: t.DataBlock, DataFinal: t.DataFinal, Quit: t.Quit},
		NoQuitWait: s.cfg.NoQuitWait,
		Clean:      s.secrets.Clean,
		CleanStart: s.secrets.CleanStart,
		Panicked:   s.cfg.logPanic,
	}
}
