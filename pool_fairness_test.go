package submission_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fe022423/submission"
)

// fairPatience is how long others may pass over a send that waits, since its envelope is on
// its way over a session whose message has no verdict when others have theirs.
const fairPatience = 500 * time.Millisecond

// Who comes first is served first. A hundred sends come one after the other, and the order
// in which their messages go out, and that of their verdicts, is held against it: with
// shared flights, and with a Client that has given them up.
func TestFairness(t *testing.T) {
	for _, tc := range []struct {
		name     string
		shortest time.Duration // of the verdicts, or up to longest
		longest  time.Duration
		slow     time.Duration // but one in slowly takes this
		slowly   int
		worse    float64 // places farther from the order of arrival than without shared flights, at most
	}{
		{"20 ms", 20 * time.Millisecond, 20 * time.Millisecond, 0, 0, 0},
		{"1 to 100 ms", time.Millisecond, 100 * time.Millisecond, 0, 0, 0.1},
		{"one in 20 takes 2 s", time.Millisecond, 40 * time.Millisecond, 2 * time.Second, 20, 0.2},
		{"one takes 20 s", 100 * time.Millisecond, 400 * time.Millisecond, 20 * time.Second, fairSends, 0.2},
		// One envelope is behind that message, and its send waits for a quarter of a second.
		{"20 ms, but one takes 20 s", 20 * time.Millisecond, 20 * time.Millisecond, 20 * time.Second, fairSends, 1.5},
	} {
		for _, sessions := range []int{1, 2, 4, 8} {
			t.Run(fmt.Sprintf("%s, %d sessions", tc.name, sessions), func(t *testing.T) {
				const runs = 10
				var shared, alone fairRun
				for seed := range uint64(runs) {
					dice := rand.New(rand.NewPCG(seed, 0))
					takes := make([]time.Duration, fairSends)
					for i := range takes {
						takes[i] = tc.shortest + time.Duration(dice.Int64N(int64(tc.longest-tc.shortest+1)))
						if tc.slowly > 0 && i%tc.slowly == 7 {
							takes[i] = tc.slow
						}
					}
					shared.add(runFair(t, sessions, true, takes), runs)
					alone.add(runFair(t, sessions, false, takes), runs)
				}
				t.Logf("places from arrival, with shared flights: %v; without: %v", shared, alone)
				if alone.sent > 0 {
					t.Errorf("without shared flights messages go out %.2f places from the order of arrival", alone.sent)
				}
				if sessions == 1 && shared != (fairRun{}) {
					t.Errorf("one session: %v", shared)
				}
				if limit := alone.verdicts + tc.worse; shared.verdicts > limit {
					t.Errorf("verdicts come %.2f places from the order of arrival, the limit is %.2f", shared.verdicts, limit)
				}
				if limit := fairPatience; shared.passed > limit {
					t.Errorf("others passed over a send for %v, the limit is %v", shared.passed, limit)
				}
			})
		}
	}
}

// fairSends is how many sends come, a tenth of a millisecond apart.
const fairSends = 100

// fairRun is how far from the order of arrival messages go out and have their verdicts, in
// places in the mean, and for how long later ones went out before one that waited, at most.
type fairRun struct {
	sent, verdicts float64
	passed         time.Duration
}

func (f fairRun) String() string {
	return fmt.Sprintf("sent %.2f, verdicts %.2f, passed over for %v", f.sent, f.verdicts, f.passed)
}

// add adds one of so many runs.
func (f *fairRun) add(r fairRun, runs float64) {
	f.sent += r.sent / runs
	f.verdicts += r.verdicts / runs
	f.passed = max(f.passed, r.passed)
}

// runFair has the sends come. The verdict on each takes as long as given.
func runFair(t *testing.T, sessions int, shared bool, takes []time.Duration) (run fairRun) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var sent, verdicts []int
		sentAt := make([]time.Time, fairSends)
		warm := false
		srv := newHabitServer("PIPELINING")
		srv.habit = func(s *habitSession, verb, _ string) *habitAnswer {
			switch {
			case verb == "CONNECT":
				return &habitAnswer{reply: "220 hi", delay: time.Second} // sends come to wait
			case verb == "MESSAGE" && !warm && !shared:
				s.in.Discard(s.in.Buffered()) // the Client notices, and shares no flights any more
			case verb == "MESSAGE" && warm:
				var i int
				fmt.Sscanf(string(s.body), "Subject: %d", &i)
				mu.Lock()
				defer mu.Unlock()
				sent, sentAt[i] = append(sent, i), time.Now()
				return &habitAnswer{reply: "250 taken", delay: takes[i]}
			}
			return nil
		}
		c := srv.client(t, withPool(submission.PoolOptions{MaxSessions: sessions, MaxIdle: sessions, MaxMessages: 1 << 20}))
		for _, err := range sendAtOnce(t.Context(), c, 4*sessions) {
			if err != nil {
				t.Error(err)
			}
		}
		warm = true
		var all sync.WaitGroup
		for i := range fairSends {
			all.Go(func() {
				time.Sleep(time.Duration(i+1) * 100 * time.Microsecond)
				if err := sendNumber(t.Context(), c, i); err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				verdicts = append(verdicts, i)
			})
		}
		all.Wait()
		run = fairRun{sent: placesOff(sent), verdicts: placesOff(verdicts)}
		for i, at := range sentAt {
			var before []time.Time // later ones went out then
			for _, later := range sentAt[i+1:] {
				if later.Before(at) {
					before = append(before, later)
				}
			}
			slices.SortFunc(before, time.Time.Compare)
			if len(before) > 0 {
				run.passed = max(run.passed, before[len(before)-1].Sub(before[0]))
			}
		}
		wantClosed(t, c, srv)
	})
	return run
}

// placesOff is how far the numbers in a list are from their places, in the mean.
func placesOff(list []int) float64 {
	off := 0
	for at, i := range list {
		off += max(at-i, i-at)
	}
	return float64(off) / float64(len(list))
}
