package submission_test

import (
	"context"
	"io"
	"strings"
	"testing"

	"github.com/fe022423/submission"
)

// A recipient that is answered 503 speaks against the session, but a message that goes
// to the others is on its way: it is not started anew in the middle, and no command is
// written into a chunk that lacks its end.
func TestPreparedGoesOn(t *testing.T) {
	const two = "C: MAIL FROM:<a@test.example>\nC: RCPT TO:<b@test.example>\nC: RCPT TO:<c@test.example>\n"
	long := strings.Repeat("A line of the long message.\r\n", 3000)
	for name, tc := range map[string]struct {
		keywords []string
		script   string // after the envelope
		message  string
	}{
		"BDAT":       {[]string{"PIPELINING", "CHUNKING"}, "S: 250 ok\nS: 250 ok\nS: 503 what\n" + memoBDAT + "S: 250 taken\n", memo},
		"DATA":       {[]string{"PIPELINING"}, "C: DATA\nS: 250 ok\nS: 250 ok\nS: 503 what\nS: 354 go\n" + memoData + "S: 250 taken\n", memo},
		"BDAT, long": {[]string{"PIPELINING", "CHUNKING"}, "S: 250 ok\nS: 250 ok\nS: 503 what\nC: BDAT 87000 LAST\nC* 87000\nS: 250 taken\n", long},
		"DATA, long": {[]string{"PIPELINING"}, "C: DATA\nS: 250 ok\nS: 250 ok\nS: 503 what\nS: 354 go\nC* 87000\nC: .\nS: 250 taken\n", long},
	} {
		for _, prepare := range []bool{true, false} {
			t.Run(name, func(t *testing.T) {
				first := flightOK
				if strings.HasPrefix(name, "BDAT") {
					first = "C: MAIL FROM:<a@test.example>\nC: RCPT TO:<b@test.example>\nS: 250 ok\nS: 250 ok\n" + memoBDAT + "S: 250 taken\n"
				}
				c := scriptedClient(t, nil, greeted(tc.keywords...)+first+two+tc.script+"C: QUIT\nS: 221 bye\neof")
				if _, err := c.Send(context.Background(), memoTo("b@test.example"), strings.NewReader(memo)); err != nil {
					t.Fatal(err)
				}
				env := memoTo("b@test.example", "c@test.example")
				env.Partial = true
				tx, err := c.Begin(context.Background(), env)
				if err != nil {
					t.Fatal(err)
				}
				defer tx.Abort()
				if _, err := io.WriteString(tx, tc.message); err != nil {
					t.Fatal(err)
				}
				if prepare {
					if err := tx.Prepare(); err != nil {
						t.Fatal(err)
					}
				}
				res, err := tx.Commit()
				verdict{outcome: submission.PartlySent, stage: submission.StageRcpt, code: 503,
					status: []submission.RecipientStatus{submission.RecipientSent, submission.RecipientInvalid}}.check(t, res, err)
			})
		}
	}
}
