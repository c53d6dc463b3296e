package submission_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/fe022423/submission"
)

// wantOutOfRange sends an envelope that the server is not asked about, because a value
// of it is out of a range. The error says which.
func wantOutOfRange(t *testing.T, keywords []string, env submission.Envelope, says ...string) {
	t.Helper()
	err := wantNothing(t, keywords, env)
	if !errors.Is(err, submission.ErrOutOfRange) || errors.Is(err, submission.ErrUnsupported) {
		t.Errorf("error %v, want ErrOutOfRange", err)
	}
	for _, text := range says {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("error %v, want it to say %q", err, text)
		}
	}
}

// All priorities of RFC 6710, and those next to them.
func TestPriority(t *testing.T) {
	for n := -11; n <= 11; n++ {
		env := memoTo("b@test.example")
		env.Priority = n
		switch {
		case n < -9 || n > 9:
			wantOutOfRange(t, []string{"MT-PRIORITY"}, env, fmt.Sprintf("Priority %d", n), "-9", "9")
			err := wantError[*submission.SenderError](t, checkNothing(t, []string{"MT-PRIORITY"}, env))
			if err.Addr != "a@test.example" || err.Reply != nil {
				t.Errorf("%+v", err)
			}
		case n == 0:
			wantLines(t, nil, env, plainMail, plainRcpt)
			wantLines(t, []string{"MT-PRIORITY"}, env, plainMail, plainRcpt)
		default:
			wantLines(t, []string{"MT-PRIORITY MIXER"}, env, fmt.Sprintf("%s MT-PRIORITY=%d", plainMail, n), plainRcpt)
		}
	}
}
