package outbox

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Servers that fall silent: nobody answers, or nobody may answer now because most of a cluster
// is missing. It passes by itself, so calls are made again, and errors say what it may be.

// errUnderWay: the engine refused a write because another one to the same message is not
// decided yet. It is perhaps the same write, whose answer was lost.
var errUnderWay = errors.New("an earlier write of this message is not decided yet")

const (
	// pingTime is after how long without a sign of life a server is asked for one. After
	// maxPings without an answer the connection is given up: a server that lost its power, or
	// whose network is gone, closes nothing.
	pingTime = 5 * time.Second
	maxPings = 2
)

// isSilent reports whether err may pass by itself, without anybody doing anything to the queue.
func isSilent(err error) bool {
	for _, one := range []error{
		context.DeadlineExceeded, nats.ErrTimeout, nats.ErrNoResponders, jetstream.ErrNoStreamResponse,
		nats.ErrDisconnected, nats.ErrConnectionReconnecting, nats.ErrNoServers, nats.ErrReconnectBufExceeded,
		nats.ErrStaleConnection, errUnderWay,
	} {
		if errors.Is(err, one) {
			return true
		}
	}
	// Temporarily unavailable, not the leader, not assigned yet, incomplete, offline. A server
	// that begins says for a moment that it knows no stream.
	return isCode(err, 10008, 10009, 10007, 10004, 10118, 10119, 10059)
}

// explanation is an error of servers that are silent, with what it may be about.
type explanation struct {
	error
	text string
}

func (e *explanation) Unwrap() error { return e.error }
func (e *explanation) Error() string { return e.error.Error() + "; " + e.text }

// explained adds to an error of servers that are silent what it may be about, once.
func (s *store) explained(err error) error {
	var done *explanation
	if err == nil || !s.remote || !isSilent(err) || errors.As(err, &done) {
		return err
	}
	return &explanation{err, s.perhaps()}
}

func (s *store) perhaps() string {
	if !s.nc.IsConnected() {
		if last := s.nc.LastError(); last != nil {
			return fmt.Sprintf("no NATS server is connected now, the last error was: %v", last)
		}
		return "no NATS server is connected now: is one of them up?"
	}
	what, perhaps := "its JetStream", "a majority of the cluster is not up"
	if s.stream != nil {
		what, perhaps = "stream "+s.name, "the server that keeps it is not up"
		if n := s.stream.CachedInfo().Config.Replicas; n > 1 {
			perhaps = fmt.Sprintf("a majority of its %d replicas is not up", n)
		}
	}
	return fmt.Sprintf("NATS server %s is connected, but %s does not answer in time: perhaps %s, or slow",
		s.nc.ConnectedUrlRedacted(), what, perhaps)
}

// dial connects to the servers of Options.URL.
func (o *Outbox) dial(options []nats.Option) (*nats.Conn, error) {
	log := o.options.Logger
	options = append(options,
		nats.PingInterval(pingTime), nats.MaxPingsOutstanding(maxPings), nats.IgnoreAuthErrorAbort(),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil { // not by Close
				log.Warn("outbox: the connection to the NATS server is lost, another one is sought", "err", err)
			}
		}),
		nats.ReconnectHandler(func(nc *nats.Conn) {
			log.Info("outbox: connected to a NATS server again", "server", nc.ConnectedUrlRedacted())
		}),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			log.Debug("outbox: NATS client", "err", err)
		}))
	nc, err := nats.Connect(o.options.URL, options...)
	if err == nil {
		return nc, nil
	}
	var bad *url.Error
	if errors.As(err, &bad) { // its text has the URL, and a part of the password at least
		return nil, errors.New("Options.URL cannot be read: in a user name or password, special characters are written as %XX")
	}
	return nil, fmt.Errorf("no NATS server of Options.URL (%s) can be used: %w", hosts(o.options.URL), err)
}

// hosts is the servers in a list of URLs, without credentials.
func hosts(list string) string {
	var all []string
	for one := range strings.SplitSeq(list, ",") {
		one = strings.TrimSpace(one)
		if _, after, found := strings.Cut(one, "://"); found {
			one = after
		}
		all = append(all, one[strings.LastIndexByte(one, '@')+1:])
	}
	return strings.Join(all, ", ")
}
