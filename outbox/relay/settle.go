package relay

import (
	"context"
	"strconv"
	"strings"
)

// settle deletes what was moved, marks what can never be moved, and takes back that a row
// was tried if it was not.
func (l *load) settle(ctx context.Context, db database) (err error) {
	for _, r := range l.rows {
		switch r.fate {
		case moved:
			// The id as well: some databases give the number of a deleted row to another one.
			err = l.exec(ctx, db, "DELETE FROM "+table+" WHERE seq = ? AND id = ?", r.seq, r.id)
		case parked:
			err = l.exec(ctx, db, "UPDATE "+table+" SET error = ? WHERE seq = ? AND id = ?", r.why, r.seq, r.id)
		}
		if err == nil && (r.fate == parked || r.fate == untouched) && r.tried == l.stamp { // not those that were tried before
			err = l.exec(ctx, db, "UPDATE "+table+" SET tried = NULL WHERE seq = ? AND tried = ?", r.seq, l.stamp)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// report logs the rows that were marked, and counts those that are done with.
func (l *load) report() (done int) {
	for _, r := range l.rows {
		switch r.fate {
		case parked:
			l.log.Error("relay: a row cannot be moved; it is kept and marked", "id", r.id, "err", r.why)
			done++
		case moved:
			done++
		}
	}
	return done
}

// park marks the row as one that can never be moved.
func (r *row) park(why error) { r.fate, r.why = parked, oneLine(why.Error()) }

// list is what IN takes.
func list(seqs []int64) string {
	words := make([]string, len(seqs))
	for i, n := range seqs {
		words[i] = strconv.FormatInt(n, 10)
	}
	return "(" + strings.Join(words, ", ") + ")"
}
