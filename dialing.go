package submission

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/fe022423/submission/internal/hint"
	"github.com/fe022423/submission/internal/proxy"
)

// dialing is one Dial: where a connection fails for a reason that another one may
// not have, it makes another. NewSession has a nil one: its connection is given.
type dialing struct {
	opening
	target  string        // what is dialed, "host:port" or a path
	left    time.Duration // of Timeouts.Dial, for all addresses of the host
	remote  net.Addr      // of the last connection
	others  []string      // what else the host's name stands for, once it was looked up
	lookup  bool          // whether it was
	renewed sasl.Client   // has a token that the last connection could not take any more
	tickets ticketCache
	outcome dialOutcome
}

// dialOutcome is what became of a connection.
type dialOutcome uint8

const (
	dialFailed   dialOutcome = iota // there is none
	dialEnded                       // it ended before a greeting
	dialAgain                       // it failed, and one more to the same address may not
	dialAnswered                    // the server answered, which is final
)

// open opens a session over a connection of its own.
func (c *config) open(ctx context.Context, w *watch) (*Session, error) {
	d := &dialing{opening: c.newOpening(w), target: c.addr(), left: c.Timeouts.Dial}
	return d.run(func() (*Session, error) { return d.open(ctx) })
}

// open makes connections until there is a session, or no other one may do better.
func (d *dialing) open(ctx context.Context) (*Session, error) {
	var ended error
	for {
		s, err := d.try(ctx)
		switch {
		case err == nil || ctx.Err() != nil:
			return s, err
		case d.outcome == dialAgain:
			d.left = d.cfg.Timeouts.Dial
			continue
		case d.outcome == dialEnded:
			ended = err
		case d.outcome == dialAnswered || ended == nil:
			return nil, err
		}
		if !d.nextAddress(ctx) {
			return nil, ended
		}
	}
}

// try makes one connection and opens a session over it.
func (d *dialing) try(ctx context.Context) (*Session, error) {
	d.outcome, d.info.Network = dialFailed, ""
	nc, err := d.connect(ctx)
	if err != nil {
		return nil, err
	}
	return newSession(ctx, nc, &d.opening, d)
}

// judge says whether another connection may do better than one over which s did
// not come about.
func (d *dialing) judge(s *Session, err error) {
	why := s.link.Failure()
	ended := !s.greeted && why != nil && why.Gone()
	switch {
	case d == nil || d.outcome == dialAgain:
	case d.tickets.giveUp(isType[*TLSError](err) || ended):
		d.outcome = dialAgain
	case ended:
		d.outcome = dialEnded
	}
}

// keepRenewed keeps a client with a renewed token for the next connection.
func (d *dialing) keepRenewed(client sasl.Client) {
	if d != nil {
		d.renewed, d.outcome = client, dialAgain
	}
}

// takeRenewed returns what keepRenewed kept, once.
func (d *dialing) takeRenewed() sasl.Client {
	if d == nil {
		return nil
	}
	client := d.renewed
	d.renewed = nil
	return client
}

// nextAddress goes on to the next address of the host (RFC 5321, 5.1). The default
// dialer has left behind those that refused. What another Dialer makes of a name
// is not known.
func (d *dialing) nextAddress(ctx context.Context) bool {
	if d.cfg.callersDialer || d.cfg.socket != "" || d.left <= 0 {
		return false
	}
	if !d.lookup {
		d.lookup, d.others = true, d.otherAddresses(ctx)
	}
	if len(d.others) == 0 {
		return false
	}
	d.target, d.others = d.others[0], d.others[1:]
	return true
}

// otherAddresses looks the host up and returns its addresses but the last one that
// was connected to, those that follow it first.
func (d *dialing) otherAddresses(ctx context.Context) []string {
	defer d.spend(time.Now())
	ctx, cancel := context.WithTimeout(ctx, d.left)
	defer cancel()
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", d.cfg.host)
	if err != nil {
		return nil // an IP address has no others
	}
	_, remote := addrParts(d.remote)
	var before, after []string
	for _, ip := range ips {
		addr := netip.AddrPortFrom(ip.Unmap(), uint16(d.cfg.port)).String()
		if addr == remote {
			before, after = after, nil
		} else {
			after = append(after, addr)
		}
	}
	return append(after, before...)
}

func (d *dialing) spend(start time.Time) { d.left -= time.Since(start) }

// connect makes the raw connection, within its share of what is left of
// Timeouts.Dial.
func (d *dialing) connect(ctx context.Context) (net.Conn, error) {
	defer d.spend(time.Now())
	c := d.cfg
	limited, cancel := context.WithTimeout(ctx, d.left/time.Duration(len(d.others)+1))
	defer cancel()
	nc, err := c.Dialer.DialContext(limited, c.network(), d.target)
	if err == nil && nc != nil {
		return nc, nil
	}
	if at, ok := limited.Deadline(); ok && !time.Now().Before(at) {
		pause(limited, ctx) // the kernel may find that a moment before the context does
	}
	e := &ConnectError{Addr: c.addr(), Stage: StageDial}
	var p *proxy.Error
	if errors.As(err, &p) {
		e.Stage = StageProxy
	}
	switch {
	case err == nil:
		e.Err = errors.New("Options.Dialer returned no connection")
	case ctx.Err() != nil:
		e.Err = givenUp(e.Stage, ctx)
	case failedForGood(err):
		e.Err = err
	case limited.Err() != nil:
		e.Err = &linkError{stage: e.Stage, text: "no answer within " + c.Timeouts.Dial.String(), err: err}
	default:
		e.Err = &linkError{stage: e.Stage, err: err, ended: errors.Is(err, errReset)}
	}
	var dns *net.DNSError
	e.Hint = hint.Dial{
		Server: c.reached(), Err: err, NoSuchHost: errors.As(err, &dns) && noSuchHost(dns),
		Cancelled: errors.Is(ctx.Err(), context.Canceled), Proxied: throughProxy(c.Dialer),
	}.Hint()
	secrets := knownSecrets(c.auth.Reveal())
	return nil, cleaned(e, &secrets)
}

// noSuchHost reports whether a name is known not to exist.
func noSuchHost(e *net.DNSError) bool { return e.IsNotFound && !e.IsTemporary && !e.IsTimeout }

// failedForGood reports whether it is useless to dial again: a proxy refused the
// request or is none, or the name does not exist. Of several errors all must say so.
func failedForGood(err error) bool {
	if list, ok := err.(interface{ Unwrap() []error }); ok {
		return len(list.Unwrap()) > 0 && !slices.ContainsFunc(list.Unwrap(), func(e error) bool { return !failedForGood(e) })
	}
	switch e := err.(type) {
	case nil:
		return false
	case *proxy.StatusError:
		return e.Permanent()
	case *proxy.ForeignError:
		return true
	case *net.DNSError:
		return noSuchHost(e)
	}
	return failedForGood(errors.Unwrap(err))
}
