//go:build linux

package power

import (
	"bufio"
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fe022423/submission/outbox"
	"github.com/fe022423/submission/smtptest"
)

var (
	failures = flag.Int("failures", 0, "how often the power fails in each trial; 0 is a few times")
	interval = flag.Duration("interval", 400*time.Millisecond, "SyncInterval, in the trial of that")
	seed     = flag.Uint64("seed", 0, "of the moments of failure, and of what is left; 0 is a new one")
)

// trial is a queue whose power fails again and again, and what its users were told.
type trial struct {
	*testing.T
	task
	disk   *Disk
	mount  string
	random *rand.Rand
	most   int  // changes and syncs until a failure, at most
	luck   Luck // that what was not synced is there nevertheless
	srv    *smtptest.Server

	acknowledged map[string]time.Time
	lost         map[string]time.Duration // and how long before the failure it was acknowledged
	twice        int
	held         int
	resent       int // all Record.Uncertain
	failures     int
	ended        time.Time // of the life before
}

func newTrial(t *testing.T, m Model, k task) *trial {
	n := *seed
	if n == 0 {
		n = uint64(time.Now().UnixNano())
	}
	t.Logf("-seed %d", n)
	tr := &trial{
		T: t, task: k, disk: NewDisk(m), mount: t.TempDir(), most: 900, random: rand.New(rand.NewPCG(n, 0)),
		acknowledged: map[string]time.Time{}, lost: map[string]time.Duration{},
	}
	tr.Dir = filepath.Join(tr.mount, "mail", "queue")
	if k.Addr != "" {
		tr.srv = smtptest.NewServer(&smtptest.Config{Discard: true})
		t.Cleanup(func() { tr.srv.Close() })
		tr.Addr = tr.srv.Addr()
	}
	return tr
}

// sends in a task asks for an SMTP server.
const sends = "the server of the trial"

// fail lives, until the power fails at a random moment.
func (tr *trial) fail() {
	tr.Helper()
	tr.disk.FailAfter(1 + tr.random.IntN(tr.most))
	tr.live(nil)
}

// live is the life of a child, until the power fails or it ends. meanwhile is told of each
// message that is acknowledged.
func (tr *trial) live(meanwhile func(acknowledged int)) {
	tr.Helper()
	tr.Life++
	unmount := mount(tr.T, tr.mount, tr.disk)
	text, err := json.Marshal(tr.task)
	if err != nil {
		tr.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childTask+"="+string(text))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		tr.Fatal(err)
	}
	told, failed := tr.listen(bufio.NewReader(out), meanwhile), tr.disk.Failed
	select {
	case <-failed:
		tr.failures++
	case <-told: // it ended by itself
	case <-time.After(time.Minute): // a net for a child that hangs
		tr.disk.Fail()
		tr.Error("the child hangs")
	}
	ended := time.Now()
	cmd.Process.Kill()
	tr.disk.Release()
	<-told
	tr.ended = ended
	err = cmd.Wait()
	if err != nil && !strings.Contains(err.Error(), "killed") {
		tr.Fatalf("life %d: the child ended by itself: %v\n%s", tr.Life, err, stderr.String())
	}
	unmount()
	tr.disk.Restart(tr.random, tr.luck)
}

// listen reads what the child says, to its end.
func (tr *trial) listen(r *bufio.Reader, meanwhile func(int)) (told chan struct{}) {
	told = make(chan struct{})
	go func() {
		defer close(told)
		var now []string // of this life: what it found before cannot have them
		for {
			line, err := r.ReadString('\n')
			if err != nil { // also one that was cut short
				break
			}
			word, what, _ := strings.Cut(line, " ")
			switch word {
			case "found":
				var all []found
				if err := json.Unmarshal([]byte(what), &all); err != nil {
					tr.Error(err)
				}
				tr.check(all)
			case "acknowledged":
				var keys []string
				if err := json.Unmarshal([]byte(what), &keys); err != nil {
					tr.Error(err)
				}
				for _, key := range keys {
					tr.acknowledged[key] = time.Now()
				}
				if now = append(now, keys...); meanwhile != nil {
					meanwhile(len(now))
				}
			}
		}
	}()
	return told
}

// check compares what is there with what was acknowledged.
func (tr *trial) check(all []found) {
	there, batches := map[string]found{}, map[string]int{}
	tr.held, tr.resent = 0, 0
	for _, f := range all {
		there[f.Key] = f
		tr.resent += f.Uncertain
		if f.Status == outbox.Held {
			tr.held++
		}
		if f.Wrong != "" && tr.Sync > 0 { // its octets are lost
			delete(there, f.Key)
		} else if f.Wrong != "" {
			tr.Errorf("life %d: %s is %s: %s", tr.Life, f.Key, f.Status, f.Wrong)
		}
		part := strings.Split(f.Key, "-") // life-writer-number-index-batch-size
		if len(part) != 6 {
			tr.Errorf("life %d: found %q", tr.Life, f.Key)
			continue
		}
		batches[strings.Join(part[:3], "-")+" of "+part[4]]++
	}
	for batch, n := range batches {
		if !strings.HasSuffix(batch, fmt.Sprint(" of ", n)) {
			tr.Errorf("life %d: %d messages of batch %s", tr.Life, n, batch)
		}
	}
	for key, when := range tr.acknowledged {
		if _, is := there[key]; is {
			continue
		}
		if _, known := tr.lost[key]; !known {
			tr.lost[key] = tr.ended.Sub(when)
		}
	}
	if tr.srv != nil {
		tr.count(there)
	}
}

// count compares it with what the SMTP server accepted.
func (tr *trial) count(there map[string]found) {
	accepted := map[string]int{}
	for _, m := range tr.srv.Messages() {
		accepted[strings.TrimSuffix(strings.TrimPrefix(m.To[0], "k"), "@example.net")]++
	}
	tr.twice = 0
	for key, n := range accepted {
		tr.twice += n - 1
		if n-1 > there[key].Uncertain && tr.Sync == 0 {
			tr.Errorf("life %d: %s was accepted %d times, %+v", tr.Life, key, n, there[key])
		}
	}
	for key, f := range there {
		if f.Status == outbox.Sent && accepted[key] == 0 {
			tr.Errorf("life %d: %s is sent, and was not accepted", tr.Life, key)
		}
	}
	for key := range tr.lost {
		if accepted[key] > 0 { // then it is only forgotten
			delete(tr.lost, key)
		}
	}
}

// last lets all come to its end, and prints the figures.
func (tr *trial) last() {
	tr.Helper()
	tr.Last = true
	tr.live(nil)
	tr.Logf("%s: %d failures, %d acknowledged, %d lost, %d accepted twice, %d held, %d resent",
		tr.disk.Model, tr.failures, len(tr.acknowledged), len(tr.lost), tr.twice, tr.held, tr.resent)
}
