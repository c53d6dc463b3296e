package embedded

import (
	"os"
	"testing"
	"time"
)

// A directory is synced again unless it is certain that it has not changed. That a sync is
// done, and that nothing is missing, is tried in outbox/trials/power.
func TestChangedDirectories(t *testing.T) {
	now := time.Now().Truncate(time.Second)
	fine := func(ago time.Duration) time.Time { return now.Add(-ago + 7*time.Nanosecond) }
	for name, c := range map[string]struct{ changed, was, want time.Time }{
		"never synced":             {fine(time.Hour), time.Time{}, fine(time.Hour)},
		"unchanged":                {fine(time.Hour), fine(time.Hour), fine(time.Hour)},
		"changed":                  {fine(time.Minute), fine(time.Hour), fine(time.Minute)},
		"changed, clock set back":  {fine(time.Hour), fine(time.Minute), fine(time.Hour)},
		"just now":                 {fine(-time.Second), fine(time.Hour), time.Time{}},
		"in the future":            {fine(-time.Hour), fine(time.Hour), time.Time{}},
		"just now, whole seconds":  {now, fine(time.Hour), time.Time{}},
		"a while ago, in seconds":  {now.Add(-time.Minute), fine(time.Hour), now.Add(-time.Minute)},
		"just now, and once again": {fine(-time.Second), time.Time{}, time.Time{}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.Chtimes(dir, c.changed, c.changed); err != nil {
				t.Fatal(err)
			}
			if got, err := syncChanged(dir, c.was); err != nil || !got.Equal(c.want) {
				t.Errorf("%v, %v, want %v", got, err, c.want)
			}
		})
	}
}
