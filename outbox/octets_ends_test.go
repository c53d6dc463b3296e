package outbox_test

import "slices"

const (
	// endOctets is how many octets of each end of a long message are all taken. The commands
	// are in the first of them.
	endOctets = 2 << 10
	// withinStep is the distance of those that are taken within it. It is prime, as are those
	// of the sample, so that they do not keep step with lines or blocks.
	withinStep = 1009
	shortStep  = 61
	longStep   = 149
	longWithin = 100003
	allAround  = 1 // of the mark, and of the edges of writes
)

// ends are the octets at which processes end, in the order of the session, those written and
// those read.
func (r *octetRun) ends(whole *process) (list []octet) {
	take := map[int]bool{}
	near := func(at int) {
		for n := at - allAround; n <= at+allAround; n++ {
			take[n] = true
		}
	}
	step, within, ends := shortStep, longWithin, endOctets/8
	if r.size > shortSize {
		step = longStep
	}
	if *wholeSweep {
		step, within, ends = 1, withinStep, endOctets
	}
	for n := 1; n <= whole.all.written; n++ {
		inEnds := r.size <= shortSize || n <= ends || n > whole.all.written-ends
		if inEnds && n%step == 0 || n%within == 0 {
			take[n] = true
		}
	}
	near(0)
	near(whole.commit.written)
	near(whole.all.written)
	for _, n := range whole.edges {
		near(n)
	}
	for n := range take {
		if n >= 1 && n <= whole.all.written {
			list = append(list, octet{written: n})
		}
	}
	for n := 1; n <= whole.all.read; n++ {
		if n%step == 0 || n == 1 || n >= whole.commit.read-1 && n <= whole.commit.read+2 || n == whole.all.read {
			list = append(list, octet{read: n})
		}
	}
	slices.SortFunc(list, func(a, b octet) int {
		return (a.written - b.written) + (a.read-b.read)*whole.all.written*2
	})
	return list
}
