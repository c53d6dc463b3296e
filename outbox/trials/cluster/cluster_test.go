//go:build unix

package cluster

import (
	"context"
	"flag"
	"io"
	"log/slog"
	"testing"
	"time"

	"github.com/fe022423/submission/outbox"
)

var large = flag.Bool("large", false, "2,000 messages in the storm, in place of 200, and the leader stopped six times")

// deadline ends a trial that hangs. Nothing waits for it otherwise.
func deadline(t testing.TB, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

func options(n *nodes, queue string) *outbox.Options {
	return &outbox.Options{URL: n.url(), Name: queue, Replicas: nodeCount, Logger: slog.New(slog.NewTextHandler(io.Discard, nil))}
}

// open opens a queue in the test's process, as soon as the cluster can.
func open(t testing.TB, o *outbox.Options) *outbox.Outbox {
	t.Helper()
	for ctx := deadline(t, time.Minute); ; {
		ob, err := outbox.Open(ctx, o)
		if err == nil {
			t.Cleanup(func() { ob.Close() })
			return ob
		}
		if ctx.Err() != nil {
			t.Fatal(err)
		}
	}
}

// TestStorm kills, freezes and cuts off nodes and clients while messages are queued and sent,
// and at the end removes a node for good: none is lost, none is sent twice, and not more are
// held than workers were struck. The form with -large takes some minutes.
func TestStorm(t *testing.T) {
	t.Parallel()
	s := storm{messages: 200, nodeKills: 2, clientKills: 2, freezes: 2, partitions: 1, rest: 40}
	limit := 2 * time.Minute
	if *large {
		s = storm{messages: 2000, nodeKills: 10, clientKills: 13, freezes: 13, partitions: 10, rest: 200}
		limit = 9 * time.Minute
	}
	n := newNodes(t)
	ob := open(t, options(n, "storm"))
	tr := &trial{storm: s, t: t, ctx: deadline(t, limit), nodes: n, board: newBoard()}
	began := time.Now()
	tr.run()
	took := time.Since(began)
	for _, c := range tr.clients {
		c.kill()
	}
	f := count(deadline(t, time.Minute), t, ob, tr.board, s.messages+s.rest)
	struck := workers * (s.clientKills + s.freezes + clients*(s.partitions+s.nodeKills+1))
	if f.held > tr.board.cuts+struck {
		t.Errorf("%d are held: %d cut, %d workers struck", f.held, tr.board.cuts, struck)
	}
	t.Logf("%+v: %d lost, %d twice, %d held of which %d by the mail server, %d sent, in %v; events %v; lines logged %d",
		s, f.lost, f.twice, f.held, tr.board.cuts, f.sent, took.Round(time.Second), tr.board.events, tr.clients[0].lines+tr.clients[1].lines)
}

// TestMoments freezes, stops and cuts off at the moments that matter.
func TestMoments(t *testing.T) {
	t.Parallel()
	n := newNodes(t)
	open(t, options(n, "first")).Close()
	for name, test := range map[string]func(*testing.T, *nodes){
		"frozen with a verdict":   testFrozenWithVerdict,
		"frozen before the mark":  testFrozenBeforeMark,
		"the leader stopped":      testLeaderStopped,
		"an answer lost":          testAnswerLost,
		"no majority for a while": testNoMajority,
	} {
		t.Run(name, func(t *testing.T) { test(t, n) })
	}
}
