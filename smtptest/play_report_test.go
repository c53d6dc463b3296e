package smtptest

import (
	"strings"
	"testing"
)

// A report shows what was expected, what came, and the line of the script, also where the
// two differ late.
func TestPlayReports(t *testing.T) {
	long := strings.Repeat("0123456789", 30)
	for name, tt := range map[string]struct {
		script string
		client []string
		report string // all of it
	}{
		"another command": {"S: 220\nC: EHLO x", []string{`<220\r\n`, `>HELO x\r\nmore\r\n`},
			`line 2: expected "EHLO x\r\n", got "HELO x\r\n"`},
		"another second line": {`C> a\r\nb\r\n`, []string{`>a\r\nc\r\nmore\r\n`},
			`line 1: expected "a\r\nb\r\n", got "a\r\nc\r\n"`},
		"another second line, in two writes": {`C> a\r\nb\r\n`, []string{`>a\r`, `>\nc\r\nmore\r\n`},
			`line 1: expected "a\r\nb\r\n", got "a\r\nc\r\n"`},
		"a difference near the end of a long line": {"C: " + long + "end", []string{">" + long + `END\r\n`},
			`line 1: expected ..."` + long[:100] + `end\r\n", got ..."` + long[:100] + `END\r\n" (from byte 200 on)`},
		"a difference far after the start, and much after it": {"C: " + long + "end" + long, []string{">" + long + "END" + long + `\r\n`},
			`line 1: expected ..."` + long[:100] + "end" + long[:97] + `"..., got ..."` + long[:100] + "END" + long[:97] + `"... (from byte 200 on)`},
		"a difference at the start of a long line": {"C: x" + long, []string{">y" + long + `\r\n`},
			`line 1: expected "x` + long[:199] + `"..., got "y` + long[:199] + `"...`},

		"more than the script has": {"S: 220\n\n# done\nC: A\nS: 250", []string{`<220\r\n`, `>A\r\n`, `<250\r\n`, `>B\r\nC\r\n`},
			`the client sent "B\r\n" after the end of the script, line 5: S: 250`},
		"waits for more than the script has": {"C: A\nS: 221", []string{`>A\r\n`, `<221\r\n`, `<2`},
			`the client waits for more than the script has, after line 2: S: 221; if that is right, end the script with stall or close`},
		"an empty script": {"", []string{`>B\r\n`}, `the client sent "B\r\n", but the script is empty`},
		"waits, an empty script": {"", []string{`<2`},
			`the client waits for more than the script has, which is empty; if that is right, end the script with stall or close`},

		"waits after joined lines": {"deliver joined\nS: 250\nS: 251", []string{`<250\r\n251\r\n`, `<2`},
			`the client waits for more than the script has, after line 3: S: 251; if that is right, end the script with stall or close`},

		"closed too early": {"S: 220\nC: EHLO x", []string{`<220\r\n`, "x"}, `the script stopped at line 2: C: EHLO x; the client closed instead`},
		"closed within a line": {"S: 220\nC: EHLO x", []string{`<220\r\n`, ">EH", "x"},
			`the script stopped at line 2: C: EHLO x (so far "EH"); the client closed instead`},
		"closed within any octets":  {"C* 5", []string{">ab", "x"}, `the script stopped at line 1: C* 5 (so far 2 bytes); the client closed instead`},
		"the end of the test":       {"S: 220\nC: EHLO x", []string{`<220\r\n`}, `the script stopped at line 2: C: EHLO x; the client sent nothing more and did not close`},
		"not closed":                {"S: 220\neof", []string{`<220\r\n`}, `the script stopped at line 2: eof; the client did not close`},
		"waits within any octets":   {"C* 5", []string{">ab", "<2"}, `line 1: the client waits where it must send: C* 5 (so far 2 bytes)`},
		"sent where it must close":  {"S: 220\neof", []string{`<220\r\n`, `>QUIT\r\nmore`}, `line 2: the client sent "QUIT\r\n" where it must close`},
		"sent before it read":       {"S: 220\nC: EHLO x", []string{`>EHLO x\r\nmore`}, `line 2: the client sent "EHLO x\r\n" too early: it has not read what the server says before C: EHLO x`},
		"closed without the answer": {"C: A\nS: 250\neof", []string{`>A\r\n`, "x"}, `line 2: the client closed without having read S: 250`},
	} {
		t.Run(name, func(t *testing.T) {
			fake := &recorder{TB: t}
			nc := Play(fake, tt.script)
			for _, what := range tt.client {
				_ = act(nc, what)
			}
			fake.end()
			if len(fake.reports) != 1 || fake.reports[0] != "smtptest.Play: "+tt.report {
				t.Errorf("reports:\n%s\nwant\nsmtptest.Play: %s", strings.Join(fake.reports, "\n"), tt.report)
			}
		})
	}
}
