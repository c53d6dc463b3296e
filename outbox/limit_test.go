package outbox

import (
	"testing"
	"time"

	"github.com/fe022423/submission"
)

// The default is a minute after the first attempt, twice as long after each further one, up to
// an hour, shortened at random by up to a half; at least five minutes, before that, after a 421
// and after temporary refusals that speak of a rate.
func TestDefaultBackoff(t *testing.T) {
	reply := func(code int, enhanced ...int) *submission.SendError {
		r := &submission.Reply{Code: code}
		copy(r.Enhanced[:], enhanced)
		return &submission.SendError{Reply: r}
	}
	for name, c := range map[string]struct {
		attempt int
		err     *submission.SendError
		want    time.Duration
	}{
		"the first":             {1, reply(451, 4, 3, 0), time.Minute},
		"the second":            {2, reply(451), 2 * time.Minute},
		"the third":             {3, nil, 4 * time.Minute},
		"the sixth":             {6, nil, 32 * time.Minute},
		"the seventh":           {7, nil, time.Hour},
		"the 1000th":            {1000, nil, time.Hour},
		"none yet":              {0, nil, time.Minute},
		"without a reply":       {1, &submission.SendError{}, time.Minute},
		"421":                   {1, reply(421), 5 * time.Minute},
		"421, later":            {5, reply(421), 16 * time.Minute},
		"421, at last":          {50, reply(421), time.Hour},
		"greylisted":            {1, reply(451, 4, 7, 1), 5 * time.Minute},
		"policy":                {2, reply(450, 4, 7, 0), 5 * time.Minute},
		"congestion":            {1, reply(451, 4, 4, 5), 5 * time.Minute},
		"not accepting":         {1, reply(452, 4, 3, 2), 5 * time.Minute},
		"for good, by policy":   {1, reply(550, 5, 7, 1), time.Minute},
		"mailbox full":          {1, reply(452, 4, 2, 2), time.Minute},
		"codes that contradict": {1, reply(451, 5, 7, 1), time.Minute},
	} {
		least, most := time.Duration(1<<62), time.Duration(0)
		for range 2000 {
			d := defaultBackoff(c.attempt, c.err)
			least, most = min(least, d), max(most, d)
		}
		// 2,000 draws miss a tenth of the range at either end once in 10^91 runs.
		if least < c.want/2 || most > c.want || least > c.want*55/100 || most < c.want*95/100 {
			t.Errorf("%s: from %v to %v, want from %v to %v", name, least, most, c.want/2, c.want)
		}
	}
}

// Work takes the default where there is none.
func TestBackoffOfWork(t *testing.T) {
	k := &work{}
	k.defaults()
	if d := k.Backoff(3, nil); d < 2*time.Minute || d > 4*time.Minute {
		t.Error(d)
	}
}
