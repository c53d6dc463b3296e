//go:build linux

package power

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fe022423/submission/outbox"
)

// times is how often the power fails in a trial.
func times(few int) int {
	if *failures > 0 {
		return *failures
	}
	return few
}

// TestAcknowledgedMail queues one by one, in batches and large ones, while the power fails: in
// each model, with and without luck, all that was acknowledged is there, octet by octet, and
// of each batch all or nothing. -failures 100 is the large form.
func TestAcknowledgedMail(t *testing.T) {
	for _, m := range []Model{Journal, Strict} {
		t.Run(string(m), func(t *testing.T) {
			t.Parallel()
			tr := newTrial(t, m, task{Writers: 24, Batch: 20, Large: 7})
			for i := range times(4) {
				tr.luck = Luck{float64(i%2) / 2, float64(i%2) / 2}
				tr.fail()
			}
			tr.last()
			if len(tr.lost) > 0 {
				t.Errorf("lost: %v", tr.lost)
			}
		})
	}
}

// TestBatches has the power fail in the middle of the commit of a batch, where a part of it
// is on the disk already: the rest is completed from what was staged, or none is there.
func TestBatches(t *testing.T) {
	for _, m := range []Model{Journal, Strict} {
		t.Run(string(m), func(t *testing.T) {
			t.Parallel()
			tr := newTrial(t, m, task{Writers: 1, Batch: 50, Batches: true})
			tr.luck = Luck{Writes: 0.95}
			for i := range times(6) {
				tr.disk.FailBeforeSync("1.blk", 3+i)
				tr.live(nil)
			}
			tr.last()
			if len(tr.lost) > 0 {
				t.Errorf("lost: %v", tr.lost)
			}
		})
	}
}

// TestMailThatIsSent has a worker beside the writers: nothing is lost, with Hold nothing is
// sent twice, with Resend only what its record accounts for. At most one message for each
// worker and failure becomes uncertain. -failures 100 is the large form.
func TestMailThatIsSent(t *testing.T) {
	for _, m := range []Model{Journal, Strict} {
		for policy, name := range map[outbox.Policy]string{outbox.Hold: "hold", outbox.Resend: "resend"} {
			t.Run(string(m)+"/"+name, func(t *testing.T) {
				t.Parallel()
				tr := newTrial(t, m, task{Writers: 4, Batch: 5, Large: 9, Addr: sends, Policy: policy})
				for i := range times(3) {
					tr.luck = Luck{float64(i%2) / 2, float64(i%2) / 2}
					tr.fail()
				}
				tr.last()
				if len(tr.lost) > 0 {
					t.Errorf("lost: %v", tr.lost)
				}
				if policy == outbox.Hold && tr.twice > 0 || max(tr.held, tr.resent) > tr.failures*workers {
					t.Errorf("%d accepted twice, %d held, %d resent", tr.twice, tr.held, tr.resent)
				}
			})
		}
	}
}

// TestSyncInterval has a server that syncs at an interval, as Options.SyncInterval allows. What
// was acknowledged before the last sync is there after a failure, and what is lost, and what
// is sent twice, is printed: it is what the interval costs. -failures 20 -interval 2s is the
// large form.
func TestSyncInterval(t *testing.T) {
	for _, m := range []Model{Journal, Strict} {
		for name, k := range map[string]task{
			"queued": {Writers: 4, Large: 10},
			"sent":   {Writers: 2, Addr: sends, Policy: outbox.Hold},
		} {
			t.Run(string(m)+"/"+name, func(t *testing.T) {
				t.Parallel()
				k.Sync = *interval
				newTrial(t, m, k).atIntervals(times(1))
			})
		}
	}
}

// atIntervals has the power fail when what the child acknowledged first has been synced.
func (tr *trial) atIntervals(n int) {
	safe := map[string]bool{}
	for range n {
		tr.live(func(n int) {
			if n != 30 {
				return
			}
			for key := range tr.acknowledged {
				if strings.HasPrefix(key, fmt.Sprint(tr.Life, "-")) { // earlier ones may be lost
					safe[key] = true
				}
			}
			go func() {
				tr.disk.Await(".blk")
				tr.disk.Fail()
			}()
		})
	}
	tr.last()
	var oldest time.Duration
	for key, age := range tr.lost {
		if oldest = max(oldest, age); safe[key] {
			tr.Errorf("%s was synced, and is lost", key)
		}
	}
	tr.Logf("SyncInterval %v: the oldest that was lost was acknowledged %v before the failure", tr.Sync, oldest)
}
