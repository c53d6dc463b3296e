package draw

import "testing"

// promised is what the library promises for each stage and fault. It comes from the
// design and from the doc comments of Outcome and of the methods Temporary, not from a
// recording. A cell has three letters:
//
//	outcome   S sent, N not sent, U unknown
//	again     T temporary, P permanent
//	session   R usable, Q QUIT, X closed, 0 there is none
//
// A dot is not promised. A cell that is a dash cannot happen.
var promised = map[string][6]string{
	"dial":        {"NT0", "NT0", "-", "-", "-", "-"},
	"greeting":    {"NTX", "NTX", "NPX", "NTX", "NTQ", "NPQ"},
	"EHLO":        {"NTX", "NTX", "NPX", "NTX", "NTQ", "NPQ"},
	"STARTTLS":    {"NTX", "NTX", "NPX", "NTX", "NTQ", "NPQ"},
	"TLS":         {"NTX", "NTX", "NPX", "-", "-", "NPX"},
	"AUTH":        {"NTX", "NTX", "NP.", "NTX", "NTQ", "NPQ"}, // still usable after a refusal, but nobody has it
	"MAIL":        {"NTX", "NTX", "NPX", "NTX", "NTR", "NPR"},
	"RCPT":        {"NTX", "NTX", "NPX", "NTX", "NTR", "NPR"},
	"DATA":        {"NTX", "NTX", "NPX", "NTX", "NTR", "NPR"},
	"message":     {"NTX", "NTX", "NPX", "NTX", "NTX", "NPX"},
	"final reply": {"U.X", "U.X", "U.X", "NTX", "NTR", "NPR"},
	"QUIT":        {"S.X", "S.X", "S.X", "S.X", "S.X", "S.X"},
}

// checkPromised compares what was recorded.
func checkPromised(t *testing.T, rows [][]cell) {
	if len(promised) != len(rows) {
		t.Errorf("%d stages are promised, %d recorded", len(promised), len(rows))
	}
	for i, row := range rows {
		for fault, c := range row {
			want, got := promised[stages[i].name][fault], c.letters()
			if want == "" || len(want) != len(got) || !matches(want, got) {
				t.Errorf("%s, %s: recorded %s, promised %q", stages[i].name, faults[fault].name, got, want)
			}
		}
	}
}

func matches(want, got string) bool {
	for i := range want {
		if want[i] != '.' && want[i] != got[i] {
			return false
		}
	}
	return true
}

// letters is the cell in the letters of promised.
func (c cell) letters() string {
	if c.outcome == impossible {
		return "-"
	}
	again := "P"
	if c.temporary {
		again = "T"
	}
	return string("-SNU"[c.outcome]) + again + string("0RQX"[c.session])
}
