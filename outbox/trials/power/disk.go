//go:build linux

package power

import (
	"bytes"
	"maps"
	"math/rand/v2"
	"strings"
	"sync"
	"time"
)

// Model says what a sync makes durable.
type Model string

const (
	Journal Model = "journal"
	Strict  Model = "strict"
)

// Disk is a directory tree in memory of which a failure of the power leaves what was synced.
type Disk struct {
	Model Model

	mu      sync.Mutex
	back    *sync.Cond
	nodes   map[uint64]*node
	log     []change // of names, not durable yet
	left    int      // changes and syncs until the failure; 0 is none
	syncs   int      // the same for syncs of the file with this name only
	name    string
	down    bool // the power is gone: whoever calls waits
	ended   bool // and nobody lives who could see an answer
	Failed  chan struct{}
	serial  uint64 // of the newest change
	Changes int    // changes and syncs since the power came
}

// node is a file or a directory.
type node struct {
	ino     uint64
	changed time.Time
	data    []byte // what programs see
	disk    []byte // what is durable
	pending []write
	names   map[string]*node // nil in a file
	onDisk  map[string]*node
}

// change is a change of names that comes as a whole: one, or the two of a rename.
type change []part

type part struct {
	dir  *node
	name string
	to   *node // nil: it is removed

	serial uint64
}

const rootIno = 1

// NewDisk is an empty one.
func NewDisk(m Model) *Disk {
	d := &Disk{Model: m, nodes: map[uint64]*node{}, Failed: make(chan struct{})}
	d.back = sync.NewCond(&d.mu)
	d.newNode(true)
	return d
}

func (d *Disk) newNode(dir bool) *node {
	n := &node{ino: uint64(len(d.nodes)) + rootIno, changed: time.Now()}
	if dir {
		n.names, n.onDisk = map[string]*node{}, map[string]*node{}
	}
	d.nodes[n.ino] = n
	return n
}

// FailAfter has the power fail before the nth change or sync from now; 0 is never.
func (d *Disk) FailAfter(n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.left = n
}

// FailBeforeSync has it fail before the nth sync of a file with this name.
func (d *Disk) FailBeforeSync(name string, n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.name, d.syncs = name, n
}

// beforeSync reports whether the power is still there.
func (d *Disk) beforeSync(n *node) bool {
	for _, dir := range d.nodes {
		if d.syncs > 0 && dir.names[d.name] == n {
			if d.syncs--; d.syncs == 0 {
				d.fail()
			}
			break
		}
	}
	for d.down && !d.ended {
		d.back.Wait()
	}
	return !d.ended
}

// Fail has it fail now.
func (d *Disk) Fail() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fail()
}

func (d *Disk) fail() {
	if !d.down {
		d.down = true
		close(d.Failed)
		d.back.Broadcast()
	}
}

// Release answers those who wait in a call since the failure, after they were killed.
func (d *Disk) Release() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fail()
	d.ended = true
	d.back.Broadcast()
}

// enter begins a call: it locks. When the power is gone it waits for Release, and reports
// false without the lock.
func (d *Disk) enter(changes bool) bool {
	d.mu.Lock()
	if changes && !d.down {
		d.Changes++
		if d.left--; d.left == 0 {
			d.fail()
		}
	}
	for d.down && !d.ended {
		d.back.Wait()
	}
	if d.ended {
		d.mu.Unlock()
		return false
	}
	return true
}

func (d *Disk) rename(c change) {
	d.serial++
	for i, p := range c {
		c[i].serial = d.serial
		if p.to == nil {
			delete(p.dir.names, p.name)
		} else {
			p.dir.names[p.name] = p.to
		}
		p.dir.changed = time.Now()
	}
	d.log = append(d.log, c)
}

func (d *Disk) write(n *node, w write) {
	d.serial++
	w.serial = d.serial
	n.data, n.changed = w.on(n.data), time.Now()
	n.pending = append(n.pending, w)
}

// sync makes a node durable.
func (d *Disk) sync(n *node) {
	defer d.back.Broadcast()
	for _, w := range n.pending {
		n.disk = w.on(n.disk)
	}
	n.pending = nil
	if d.Model == Journal {
		last := -1
		for i, c := range d.log {
			for _, p := range c {
				if p.dir == n || p.to == n {
					last = i
				}
			}
		}
		for _, c := range d.log[:last+1] {
			c.settle(nil)
		}
		d.log = d.log[last+1:]
		return
	}
	var rest []change
	for _, c := range d.log {
		if c = c.settle(n); len(c) > 0 {
			rest = append(rest, c)
		}
	}
	d.log = rest
}

// settle makes the names of a change durable, those in dir or, with nil, all of them. It
// returns what remains.
func (c change) settle(dir *node) (rest change) {
	for _, p := range c {
		switch {
		case dir != nil && p.dir != dir:
			rest = append(rest, p)
		case p.to == nil:
			delete(p.dir.onDisk, p.name)
		default:
			p.dir.onDisk[p.name] = p.to
		}
	}
	return rest
}

// Luck is the chance of each piece that was not synced to be there nevertheless, from 0 to 1.
type Luck struct{ Writes, Names float64 }

// Restart brings the power back: what programs see is what was durable, and of the rest what
// had luck.
func (d *Disk) Restart(random *rand.Rand, luck Luck) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, c := range d.log {
		if random.Float64() < luck.Names {
			c.settle(nil)
		} else if d.Model == Journal {
			break
		}
	}
	seen := map[*node]bool{}
	d.recover(d.nodes[rootIno], seen, func(n *node) {
		for _, w := range n.pending {
			if random.Float64() < luck.Writes {
				if random.Float64() < luck.Writes/2 {
					w = w.torn(random)
				}
				n.disk = w.on(n.disk)
			}
		}
	})
	d.log, d.left, d.syncs, d.down, d.ended, d.Changes = nil, 0, 0, false, false, 0
	d.Failed = make(chan struct{})
}

func (d *Disk) recover(n *node, seen map[*node]bool, settle func(*node)) {
	if seen[n] {
		return
	}
	seen[n] = true
	settle(n)
	n.pending = nil
	n.data = bytes.Clone(n.disk)
	if n.names != nil {
		n.names = maps.Clone(n.onDisk)
	}
	for _, child := range n.names {
		d.recover(child, seen, settle)
	}
}

// Await waits until all that was written to the files named *suffix until now, and the names
// of those, are durable by the syncs of others. It reports false if the power fails before.
func (d *Disk) Await(suffix string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	for until := d.serial; d.oldest(suffix) <= until; d.back.Wait() {
		if d.down {
			return false
		}
	}
	return true
}

// oldest is the serial number of the oldest change of such a file that is not durable.
func (d *Disk) oldest(suffix string) uint64 {
	oldest := d.serial + 1
	for _, n := range d.nodes {
		for name, file := range n.names {
			if strings.HasSuffix(name, suffix) && len(file.pending) > 0 {
				oldest = min(oldest, file.pending[0].serial)
			}
		}
	}
	for _, c := range d.log {
		for _, p := range c {
			if p.to != nil && strings.HasSuffix(p.name, suffix) {
				oldest = min(oldest, p.serial)
			}
		}
	}
	return oldest
}
