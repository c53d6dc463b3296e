package submission_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/fe022423/submission"
)

const maxHeaderSection = 1 << 20 // what ReadEnvelope promises to read

// received is a message and what ReadEnvelope makes of it.
type received struct {
	name, in string
	from, to string // the recipients are separated by spaces
	out      string // what the reader gives; "" is the message as it is
	utf8     bool
}

// readable are messages with an answer, RFC 5322 unless another is named.
var readable = []received{
	// Whom it is from, and whom it is for.
	{"From and To", "From: a@x.example\nTo: b@x.example\n\nhi\n", "a@x.example", "b@x.example", "", false},
	{"Sender goes before From", "From: a@x.example\nSender: s@x.example\nTo: b@x.example\n\n", "s@x.example", "b@x.example", "", false},
	{"Sender, where From has two", "Sender: s@x.example\nFrom: a@x.example, b@x.example\nTo: b@x.example\n\n", "s@x.example", "b@x.example", "", false},
	{"From twice, the same", "From: a@x.example\nFrom: A <a@X.example>\nTo: b@x.example\n\n", "a@x.example", "b@x.example", "", false},
	{"an empty Sender says nothing", "Sender:\nFrom: a@x.example\nTo: b@x.example\n\n", "a@x.example", "b@x.example", "", false},
	{"neither From nor Sender", "To: b@x.example\n\n", "", "b@x.example", "", false},
	{"From is nobody", "From: nobody:;\nTo: b@x.example\n\n", "", "b@x.example", "", false},
	{"To, Cc and Bcc, in this order", "Bcc: d@x.example\nCc: c@x.example\nFrom: a@x.example\nTo: b@x.example\n\n", "a@x.example", "b@x.example c@x.example d@x.example",
		"Cc: c@x.example\nFrom: a@x.example\nTo: b@x.example\n\n", false},
	{"Cc alone", "From: a@x.example\nCc: b@x.example\n\n", "a@x.example", "b@x.example", "", false},
	{"Bcc alone", "From: a@x.example\nBcc: b@x.example\n\nhi\n", "a@x.example", "b@x.example", "From: a@x.example\n\nhi\n", false},
	{"a field twice", "From: a@x.example\nTo: b@x.example\nTo: c@x.example\nBcc: d@x.example\nBcc: e@x.example\n\n", "a@x.example", "b@x.example c@x.example d@x.example e@x.example",
		"From: a@x.example\nTo: b@x.example\nTo: c@x.example\n\n", false},
	{"empty fields", "From: a@x.example\nTo:\nCc: \t\nBcc:\nBcc: d@x.example\n\n", "a@x.example", "d@x.example", "From: a@x.example\nTo:\nCc: \t\n\n", false},
	{"Bcc of a comment", "From: a@x.example\nTo: b@x.example\nBcc: (hidden)\n\n", "a@x.example", "b@x.example", "From: a@x.example\nTo: b@x.example\n\n", false},
	{"Reply-To and others say nothing", "From: a@x.example\nReply-To: nobody\nReturn-Path: <>\nDelivered-To: who\nTo: b@x.example\nApparently-To: z\n\n", "a@x.example", "b@x.example", "", false},

	// Each once.
	{"the same domain in capitals", "From: a@x.example\nTo: b@x.example, b@X.EXAMPLE\nCc: B <b@X.Example>\nBcc: b@x.example\n\n", "a@x.example", "b@x.example",
		"From: a@x.example\nTo: b@x.example, b@X.EXAMPLE\nCc: B <b@X.Example>\n\n", false},
	{"another local part in capitals", "From: a@x.example\nTo: b@x.example, B@x.example\n\n", "a@x.example", "b@x.example B@x.example", "", false},
	{"the same with quotes that it does not need", "From: a@x.example\nTo: b@x.example, \"b\"@x.example\n\n", "a@x.example", "b@x.example", "", false},
	{"an internationalized domain in capitals", "From: a@x.example\nTo: b@bücher.example, b@BÜCHER.example\n\n", "a@x.example", "b@bücher.example", "", true},

	// Addresses.
	{"names", "From: Anna <a@x.example>\nTo: \"Last, First\" <b@x.example>, Bea Bee <c@x.example>\n\n", "a@x.example", "b@x.example c@x.example", "", false},
	{"quotes that are needed", "From: \"a a\"@x.example\nTo: \"b,b\"@x.example, \"c@c\"@x.example, \"d\\\"d\"@x.example\n\n", `"a a"@x.example`, `"b,b"@x.example "c@c"@x.example "d\"d"@x.example`, "", false},
	{"an address literal", "From: a@[192.0.2.1]\nTo: b@[192.0.2.1]\n\n", "a@[192.0.2.1]", "b@[192.0.2.1]", "", false},
	{"groups", "From: a@x.example\nTo: friends: b@x.example, C <c@x.example>;, d@x.example, nobody:;\n\n", "a@x.example", "b@x.example c@x.example d@x.example", "", false},
	{"undisclosed recipients", "From: a@x.example\nTo: undisclosed-recipients:;\nBcc: b@x.example\n\n", "a@x.example", "b@x.example", "From: a@x.example\nTo: undisclosed-recipients:;\n\n", false},
	{"comments", "From: a@x.example (Anna)\nTo: (first) b@x.example, C (see) <c@x.example> (third (and last)), \"d(d)\"@x.example (\\))\n\n", "a@x.example", `b@x.example c@x.example "d(d)"@x.example`, "", false},
	{"empty members of a list", "From: a@x.example\nTo: ,b@x.example,, ,c@x.example,\n\n", "a@x.example", "b@x.example c@x.example", "", false},
	{"encoded words", "From: =?utf-8?q?J=C3=BCrgen?= <a@x.example>\nTo: =?iso-8859-1?q?J=FCrgen?= <b@x.example>, =?utf-8?b?w5Y=?= =?utf-8?b?w5Y=?= <c@x.example>\n\n", "a@x.example", "b@x.example c@x.example", "", false},
	{"encoded words of other charsets", "From: =?windows-1252?q?J=FCrgen?= <a@x.example>\nTo: =?iso-2022-jp?b?GyRCRnxLXBsoQg==?= <b@x.example>, =?none?q?x?= <c@x.example>, d@x.example (=?koi8-r?q?=C1?=)\n\n", "a@x.example", "b@x.example c@x.example d@x.example", "", false},
	{"encoded words that are broken", "From: =?utf-8?q?=ZZ?= <a@x.example>\nTo: =?utf-8?x?y?= <b@x.example>\n\n", "a@x.example", "b@x.example", "", false},
	{"an address in an encoded word is a name", "From: a@x.example\nTo: =?utf-8?q?z=40x=2Eexample?= <b@x.example>\n\n", "a@x.example", "b@x.example", "", false},

	// Folding, and space before the colon (4.5).
	{"folded", "From:\n a@x.example\nTo: b@x.example,\n\tc@x.example\n ,d@x.example\n\n", "a@x.example", "b@x.example c@x.example d@x.example", "", false},
	{"folded in a name", "From: Anna\n of X\n <a@x.example>\nTo: \"Bea,\n B\"\n <b@x.example>\n\n", "a@x.example", "b@x.example", "", false},
	{"folded Bcc", "From: a@x.example\nBcc: b@x.example,\n c@x.example\n\t,d@x.example\nSubject: x\n\n", "a@x.example", "b@x.example c@x.example d@x.example", "From: a@x.example\nSubject: x\n\n", false},
	{"folded Bcc with a line of spaces", "From: a@x.example\nBcc: b@x.example,\n \n c@x.example\n\nhi\n", "a@x.example", "b@x.example c@x.example", "From: a@x.example\n\nhi\n", false},
	{"folded Bcc, at the end", "From: a@x.example\nBcc:\n b@x.example\n\nhi\n", "a@x.example", "b@x.example", "From: a@x.example\n\nhi\n", false},
	{"folded Bcc before its colon", "From: a@x.example\nBcc\n : b@x.example\n\nhi\n", "a@x.example", "b@x.example", "From: a@x.example\n\nhi\n", false},
	{"space before the colon", "From : a@x.example\nSender\t: s@x.example\nTo : b@x.example\nCc \t : c@x.example\nBcc : d@x.example\n\n", "s@x.example", "b@x.example c@x.example d@x.example",
		"From : a@x.example\nSender\t: s@x.example\nTo : b@x.example\nCc \t : c@x.example\n\n", false},
	{"no space after the colon", "From:a@x.example\nTo:b@x.example\nBcc:c@x.example\n\n", "a@x.example", "b@x.example c@x.example", "From:a@x.example\nTo:b@x.example\n\n", false},
	{"any case", "FROM: a@x.example\nto: b@x.example\ncC: c@x.example\nbcc: d@x.example\nBCC: e@x.example\nbCc: f@x.example\n\n", "a@x.example", "b@x.example c@x.example d@x.example e@x.example f@x.example",
		"FROM: a@x.example\nto: b@x.example\ncC: c@x.example\n\n", false},

	// What is not a Bcc field stays.
	{"names like Bcc", "From: a@x.example\nTo: b@x.example\nX-Bcc: c\nBcc-To: d\nBc: e\nBccc: f\nB cc: g\nSubject: Bcc: h\n Bcc: i\nReſent-Bcc: j\n\nBcc: k\n", "a@x.example", "b@x.example", "", true},
	{"Bcc in the body", "From: a@x.example\nTo: b@x.example\n\nBcc: c@x.example\n\nBcc: d@x.example\n", "a@x.example", "b@x.example", "", false},
	{"spaces at the ends of lines", "From: a@x.example \nTo: b@x.example\t\nSubject: x  \n\n \nhi \n", "a@x.example", "b@x.example", "", false},

	// Resent blocks (3.6.6).
	{"Resent", "Resent-From: r@x.example\nResent-To: t@x.example\nResent-Cc: u@x.example\nResent-Bcc: v@x.example\nFrom: a@x.example\nTo: b@x.example\nBcc: c@x.example\n\n", "r@x.example", "t@x.example u@x.example v@x.example",
		"Resent-From: r@x.example\nResent-To: t@x.example\nResent-Cc: u@x.example\nFrom: a@x.example\nTo: b@x.example\n\n", false},
	{"Resent-Sender goes before Resent-From", "Resent-From: r@x.example, q@x.example\nResent-Sender: s@x.example\nResent-To: t@x.example\nFrom: a@x.example\n\n", "s@x.example", "t@x.example", "", false},
	{"two blocks with a trace between them", "Received: by 2\nResent-From: r2@x.example\nResent-To: t2@x.example\nReceived: by 1\nResent-From: r1@x.example\nResent-Sender: s1@x.example\nResent-To: t1@x.example\nResent-Cc: u1@x.example\nReceived: by 0\nFrom: a@x.example\nTo: b@x.example\n\n", "r2@x.example", "t2@x.example", "", false},
	{"two blocks side by side", "Resent-Date: 2\nResent-From: r2@x.example\nResent-To: t2@x.example\nResent-Date: 1\nResent-Sender: s1@x.example\nResent-From: r1@x.example\nResent-To: t1@x.example\nResent-Bcc: u1@x.example\nFrom: a@x.example\nTo: b@x.example\n\n", "r2@x.example", "t2@x.example",
		"Resent-Date: 2\nResent-From: r2@x.example\nResent-To: t2@x.example\nResent-Date: 1\nResent-Sender: s1@x.example\nResent-From: r1@x.example\nResent-To: t1@x.example\nFrom: a@x.example\nTo: b@x.example\n\n", false},
	{"a block with other fields in it", "Resent-From: r@x.example\nX-Mailer: x\nResent-To: t@x.example\nTo: b@x.example\nFrom: a@x.example\n\n", "r@x.example", "t@x.example", "", false},
	{"a block with a field twice in a row", "Resent-From: r@x.example\nResent-To: t@x.example\nResent-To: u@x.example\nTo: b@x.example\nFrom: a@x.example\n\n", "r@x.example", "t@x.example u@x.example", "", false},
	{"a block after the others", "From: a@x.example\nTo: b@x.example\nResent-From: r@x.example\nResent-To: t@x.example\n\n", "r@x.example", "t@x.example", "", false},
	{"the newest block has no recipients", "Resent-From: r2@x.example\nResent-Date: 2\nReceived: x\nResent-From: r1@x.example\nResent-To: t1@x.example\nFrom: a@x.example\nTo: b@x.example\n\n", "r2@x.example", "b@x.example", "", false},
	{"the newest block has no sender", "Resent-To: t2@x.example\nReceived: x\nResent-From: r1@x.example\nFrom: a@x.example\nTo: b@x.example\n\n", "a@x.example", "t2@x.example", "", false},
	{"Resent-Bcc alone", "Resent-Bcc : t@x.example,\n u@x.example\nFrom: a@x.example\nTo: b@x.example\n\n", "a@x.example", "t@x.example u@x.example", "From: a@x.example\nTo: b@x.example\n\n", false},
	{"a broken field of an older message", "Resent-From: r@x.example\nResent-To: t@x.example\nFrom: not an address\nTo: neither\n\n", "r@x.example", "t@x.example", "", false},

	// The ends of the header section.
	{"no body", "From: a@x.example\nTo: b@x.example\n\n", "a@x.example", "b@x.example", "", false},
	{"no empty line", "From: a@x.example\nTo: b@x.example\n", "a@x.example", "b@x.example", "", false},
	{"no line ending", "From: a@x.example\nTo: b@x.example", "a@x.example", "b@x.example", "", false},
	{"no line ending after Bcc", "From: a@x.example\nBcc: b@x.example", "a@x.example", "b@x.example", "From: a@x.example\n", false},
	{"Bcc and nothing else", "Bcc: b@x.example\n\nhi\n", "", "b@x.example", "\nhi\n", false},
	{"several empty lines", "From: a@x.example\nTo: b@x.example\n\n\n\n", "a@x.example", "b@x.example", "", false},

	// What is not a field (RFC 4155), and octets of all kinds.
	{"a line of an mbox", "From a@y.example Thu Nov 26 10:00:00 2026\nFrom: a@x.example\nTo: b@x.example\n\n", "a@x.example", "b@x.example", "", false},
	{"a line of an mbox without a colon", "From a@y.example 2026\nFrom: a@x.example\nTo: b@x.example\n\n", "a@x.example", "b@x.example", "", false},
	{"NUL and control characters", "From: a@x.example\nSubject: a\x00b\x01\x7f\x1b\v\f\nX\x00Y: z\nTo: \"B\tB\" <b@x.example>\n\n\x00\x01\n", "a@x.example", "b@x.example", "", false},
	{"an empty name", "From: a@x.example\n: x\nTo: b@x.example\n\n", "a@x.example", "b@x.example", "", false},
	{"UTF-8", "From: Jürgen <a@x.example>\nTo: b@x.example\n\n", "a@x.example", "b@x.example", "", true},
	{"UTF-8 in a subject", "From: a@x.example\nTo: b@x.example\nSubject: für dich\n\n", "a@x.example", "b@x.example", "", true},
	{"UTF-8 in an address", "From: jürgen@x.example\nTo: имя@x.example\n\n", "jürgen@x.example", "имя@x.example", "", true},
	{"UTF-8 in a body", "From: a@x.example\nTo: b@x.example\n\nfür dich\n", "a@x.example", "b@x.example", "", false},
	{"UTF-8 in Bcc, which is not sent", "From: a@x.example\nBcc: Jürgen <b@x.example>\n\n", "a@x.example", "b@x.example", "From: a@x.example\n\n", false},
	{"another charset", "From: a@x.example\nTo: b@x.example\nSubject: f\xfcr dich\n\n", "a@x.example", "b@x.example", "", false},
	{"another charset and UTF-8", "From: a@x.example\nTo: b@x.example\nSubject: für dich\nX: f\xfcr dich\n\n", "a@x.example", "b@x.example", "", false},
}

// check reads the message from r, and checks what comes of it.
func (m received) check(t *testing.T, r io.Reader) {
	t.Helper()
	env, rest, err := submission.ReadEnvelope(r)
	if err != nil {
		t.Fatal(err)
	}
	if env.From != m.from || !equalAddrs(env.To, strings.Fields(m.to)) {
		t.Errorf("from %q to %v, want %q and %q", env.From, env.To, m.from, m.to)
	}
	if env.UTF8 != m.utf8 {
		t.Errorf("UTF8 is %v", env.UTF8)
	}
	if env.Partial || env.Size != 0 || env.Body != "" {
		t.Errorf("something was added: %+v", env)
	}
	want := m.out
	if want == "" {
		want = m.in
	}
	if got, err := io.ReadAll(rest); err != nil || string(got) != want {
		t.Errorf("the message is %.200q, %v, want %.200q", got, err, want)
	}
}

// The envelope of a message, whatever its line endings are, and however it is read.
func TestReadEnvelope(t *testing.T) {
	for _, m := range readable {
		t.Run(m.name, func(t *testing.T) {
			for ending, name := range map[string]string{"\n": "LF", "\r\n": "CRLF", "\r": "CR"} {
				c := m
				c.in, c.out = strings.ReplaceAll(m.in, "\n", ending), strings.ReplaceAll(m.out, "\n", ending)
				for how, r := range map[string]io.Reader{
					"whole":       strings.NewReader(c.in),
					"byte":        iotest.OneByteReader(strings.NewReader(c.in)),
					"half":        iotest.HalfReader(strings.NewReader(c.in)),
					"end of data": iotest.DataErrReader(strings.NewReader(c.in)),
					"in two":      io.MultiReader(strings.NewReader(c.in[:len(c.in)/2]), strings.NewReader(c.in[len(c.in)/2:])),
				} {
					t.Run(name+"/"+how, func(t *testing.T) { c.check(t, r) })
				}
			}
		})
	}
}

// Line endings of several kinds in one message: each ends a line, as it does when the
// message is sent. No CR and LF come together that were apart.
func TestReadEnvelopeMixedEndings(t *testing.T) {
	const bcc = "Bcc: c@x.example"
	for in, out := range map[string]string{
		"From: a@x.example\r\n" + bcc + "\nTo: b@x.example\rSubject: x\r\n\nBcc: d\n": "From: a@x.example\r\nTo: b@x.example\rSubject: x\r\n\nBcc: d\n",
		"From: a@x.example\r" + bcc + "\r\nTo: b@x.example\n\rBcc: d\n":               "From: a@x.example\rTo: b@x.example\n\rBcc: d\n",
		"From: a@x.example\r\nTo: b@x.example\r\n" + bcc + "\r\r\nBcc: d\r\n":         "From: a@x.example\r\nTo: b@x.example\r\n\r\nBcc: d\r\n",
		"To: b@x.example\r" + bcc + "\n\nhi":                                          "To: b@x.example\n\nhi",
		"To: b@x.example\r" + bcc + "\r\n\nhi":                                        "To: b@x.example\n\nhi",
		"To: b@x.example\r" + bcc + ",\n d@x.example\nBcc:\n\nhi":                     "To: b@x.example\n\nhi",
		"To: b@x.example\r" + bcc + "\n\r\nhi":                                        "To: b@x.example\r\r\nhi",
		"To: b@x.example\r" + bcc + "\r\rhi":                                          "To: b@x.example\r\rhi",
		"To: b@x.example\r\n" + bcc + "\n\nhi":                                        "To: b@x.example\r\n\nhi",
		bcc + "\nTo: b@x.example\r\n\nhi":                                             "To: b@x.example\r\n\nhi",
		"To: b@x.example\r" + bcc + "\n":                                              "To: b@x.example\r",
	} {
		for _, r := range []io.Reader{strings.NewReader(in), iotest.OneByteReader(strings.NewReader(in))} {
			env, rest, err := submission.ReadEnvelope(r)
			if err != nil {
				t.Fatalf("%q: %v", in, err)
			}
			if got, err := io.ReadAll(rest); err != nil || string(got) != out || env.To[0].Addr != "b@x.example" || env.To[1].Addr != "c@x.example" {
				t.Errorf("%q: %q, %v, to %v, want %q", in, got, err, env.To, out)
			}
		}
	}
}

// What is not an envelope is an error that says where it lies.
func TestReadEnvelopeErrors(t *testing.T) {
	const header, address, sender, nobody = "header", "address", "sender", "nobody"
	for _, tt := range []struct{ name, in, kind, says string }{
		{"nothing", "", nobody, "empty"},
		{"an empty line", "\n", nobody, "To, Cc and Bcc"},
		{"a body without a header", "\nhi\n", nobody, "To, Cc and Bcc"},
		{"no recipient", "From: a@x.example\n\nTo: b@x.example\n", nobody, "To, Cc and Bcc"},
		{"recipients that are nobody", "From: a@x.example\nTo: undisclosed-recipients:;\nCc:\nBcc: (none)\n\n", nobody, "To, Cc and Bcc"},
		{"resent to nobody", "Resent-To: nobody:;\nFrom: a@x.example\nTo: b@x.example\n\n", nobody, "Resent-To, Resent-Cc and Resent-Bcc"},
		{"resent to an empty field", "Resent-From: r@x.example\nResent-Bcc:\nFrom: a@x.example\nTo: b@x.example\n\n", nobody, "Resent-To, Resent-Cc and Resent-Bcc"},

		{"two in From", "From: a@x.example, b@x.example\nTo: b@x.example\n\n", sender, "From: 2 addresses, and none in Sender"},
		{"From twice", "From: a@x.example\nFrom: b@x.example\nTo: b@x.example\n\n", sender, "From"},
		{"a group in From", "From: us: a@x.example, b@x.example;\nTo: b@x.example\n\n", sender, "From"},
		{"two in Sender", "From: a@x.example\nSender: a@x.example, b@x.example\nTo: b@x.example\n\n", sender, "Sender"},
		{"two in Resent-From", "Resent-From: a@x.example, b@x.example\nFrom: a@x.example\nTo: b@x.example\n\n", sender, "Resent-From: 2 addresses, and none in Resent-Sender"},
		{"From is no address", "From: Anna\nTo: b@x.example\n\n", sender, "From"},
		{"Sender is no address", "From: a@x.example\nSender: <>\nTo: b@x.example\n\n", sender, "Sender"},
		{"Resent-From is no address", "Resent-From: Anna <a@>\nFrom: a@x.example\nTo: b@x.example\n\n", sender, "Resent-From"},

		{"a name", "From: a@x.example\nTo: everyone\n\n", address, "To"},
		{"no domain", "From: a@x.example\nTo: b@x.example, c@\n\n", address, "To"},
		{"no end of brackets", "From: a@x.example\nTo: B <b@x.example\n\n", address, "To"},
		{"no end of quotes", "From: a@x.example\nTo: \"B <b@x.example>\n\n", address, "To"},
		{"no end of a comment", "From: a@x.example\nTo: b@x.example (c\n\n", address, "To"},
		{"no end of a group", "From: a@x.example\nTo: friends: b@x.example\n\n", address, "To"},
		{"no comma", "From: a@x.example\nTo: b@x.example c@x.example\n\n", address, "To"},
		{"a comma alone", "From: a@x.example\nTo: ,\n\n", address, "To"},
		{"NUL in an address", "From: a@x.example\nTo: b\x00@x.example\n\n", address, "To"},
		{"another charset in an address", "From: a@x.example\nTo: b\xfc@x.example\n\n", address, "To"},
		{"a comment within an address", "From: a@x.example\nTo: b(x)c@x.example\n\n", address, "To"},
		{"Cc", "From: a@x.example\nTo: b@x.example\nCc: everyone\n\n", address, "Cc"},
		{"Bcc", "From: a@x.example\nTo: b@x.example\nBcc: everyone\n\n", address, "Bcc"},
		{"the second Bcc", "From: a@x.example\nTo: b@x.example\nBcc: c@x.example\nBcc: everyone\n\n", address, "Bcc"},
		{"Resent-To", "Resent-To: everyone\nFrom: a@x.example\nTo: b@x.example\n\n", address, "Resent-To"},
		{"of two faults the recipient's", "From: Anna\nTo: everyone\n\n", address, "To"},

		{"text", "hi there\n\nhow are you\n", header, "line 1 "},
		{"text after fields", "From: a@x.example\nTo: b@x.example,\n c@x.example\nhi there\n\nFrom: x\n", header, "line 4 "},
		{"a folded line of text", "From: a@x.example\nhi\n there\nTo: b@x.example\n\n", header, "line 2 "},
		{"Bcc without a colon", "From: a@x.example\nTo: b@x.example\nBcc c@x.example\n\n", header, "line 3 "},
		{"a line that continues nothing", " From: a@x.example\nTo: b@x.example\n\n", header, "line 1 "},
		{"a tab that continues nothing", "\t\nTo: b@x.example\n\n", header, "line 1 "},
		{"a second line of an mbox", "From: a@x.example\nFrom a@y.example 2026\nTo: b@x.example\n\n", header, "line 2 "},
		{"a form feed", "From: a@x.example\n\f\nTo: b@x.example\n\n", header, "line 2 "},
		{"too long", "From: a@x.example\nTo: b@x.example\nX: " + strings.Repeat("x", maxHeaderSection) + "\n\n", header, "too long"},
		{"too many fields", "From: a@x.example\nTo: b@x.example\n" + strings.Repeat("X: y\n", maxHeaderSection/5) + "\n", header, "too long"},
		{"too long a text", strings.Repeat("hi there", maxHeaderSection/4), header, "too long"},
	} {
		for ending, name := range map[string]string{"\n": "LF", "\r\n": "CRLF", "\r": "CR"} {
			t.Run(tt.name+"/"+name, func(t *testing.T) {
				env, rest, err := submission.ReadEnvelope(strings.NewReader(strings.ReplaceAll(tt.in, "\n", ending)))
				if err == nil {
					t.Fatalf("%+v", env)
				}
				wantSays(t, err, []string{tt.says}, []string{"hi there", "ParseTo"})
				if got := kindOfReadError(err); got != tt.kind {
					t.Errorf("error of kind %s, want %s: %v", got, tt.kind, err)
				}
				if isTemporary(err) {
					t.Errorf("temporary: %v", err)
				}
				if len(err.Error()) > 2000 {
					t.Errorf("an error text of %d octets", len(err.Error()))
				}
				// Who sends it is for the caller to say then.
				if known := rest != nil; known != (tt.kind == sender) || known != (len(env.To) > 0) || env.From != "" {
					t.Errorf("envelope %+v, reader %v", env, rest)
				}
			})
		}
	}
	if _, rest, err := submission.ReadEnvelope(nil); err == nil || rest != nil || kindOfReadError(err) != header {
		t.Errorf("no reader: %v, %v", rest, err)
	}
}

// kindOfReadError says what an error of ReadEnvelope is about.
func kindOfReadError(err error) string {
	var address *submission.AddressError
	var sender *submission.SenderError
	var send *submission.SendError
	switch {
	case errors.As(err, &send):
		return "send"
	case errors.As(err, &address):
		return "address"
	case errors.As(err, &sender):
		return "sender"
	case errors.Is(err, submission.ErrNoRecipients):
		return "nobody"
	}
	return "header"
}

// With a *SenderError the rest is good: who knows the sender sets it.
func TestReadEnvelopeOtherSender(t *testing.T) {
	for _, from := range []string{"From: a@x.example, b@x.example\n", "From: Anna\n", "Sender: <>\n"} {
		in := from + "To: b@x.example\nBcc: c@x.example\nSubject: ü\n\nhi\n"
		env, rest, err := submission.ReadEnvelope(strings.NewReader(in))
		wantError[*submission.SenderError](t, err)
		if env.From != "" || !env.UTF8 || !equalAddrs(env.To, []string{"b@x.example", "c@x.example"}) {
			t.Errorf("%+v", env)
		}
		if got, _ := io.ReadAll(rest); string(got) != strings.Replace(in, "Bcc: c@x.example\n", "", 1) {
			t.Errorf("%q", got)
		}
	}
}

// A header section of 1 MiB is read, and no more than that.
func TestReadEnvelopeLimit(t *testing.T) {
	const front, bcc = "From: a@x.example\nTo: b@x.example\n", "Bcc: c@x.example\n"
	for _, more := range []int{-1, 0, 1} {
		for _, end := range []string{"", "\n", "\nhi\n"} {
			fill := maxHeaderSection - len(front) - len(bcc) - len("X: \n") + more
			head := front + "X: " + strings.Repeat("x", fill) + "\n"
			env, rest, err := submission.ReadEnvelope(strings.NewReader(head + bcc + end))
			if more > 0 {
				wantSays(t, err, []string{"too long", "1048576"}, nil)
				continue
			}
			if err != nil || !equalAddrs(env.To, []string{"b@x.example", "c@x.example"}) {
				t.Fatalf("%d octets: %v, %v", len(head+bcc), env.To, err)
			}
			if got, err := io.ReadAll(rest); err != nil || string(got) != head+end {
				t.Errorf("%d octets became %d, %v", len(head+end), len(got), err)
			}
		}
	}
	endless := &countingReader{r: readFunc(func(p []byte) (int, error) { return copy(p, "x"), nil })}
	if _, _, err := submission.ReadEnvelope(endless); err == nil || endless.n > 2*maxHeaderSection {
		t.Errorf("%d octets were read: %v", endless.n, err)
	}
	// So many recipients, each once.
	var many strings.Builder
	want := []string{}
	for i := range 20000 {
		addr := fmt.Sprintf("r%d@x.example", i)
		want = append(want, addr)
		fmt.Fprintf(&many, "To: %s, r%d@X.EXAMPLE\n", addr, i)
	}
	env, _, err := submission.ReadEnvelope(strings.NewReader("From: a@x.example\n" + many.String() + "\n"))
	if err != nil || !equalAddrs(env.To, want) {
		t.Errorf("%d recipients, %v", len(env.To), err)
	}
}

// countingReader counts what was read.
type countingReader struct {
	r io.Reader
	n int
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += n
	return n, err
}

// The envelope is there as soon as the header section is: nothing is read after the empty
// line before the message is.
func TestReadEnvelopeDoesNotWait(t *testing.T) {
	for _, ending := range []string{"\n", "\r\n", "\r"} {
		head := strings.ReplaceAll("From: a@x.example\nBcc: c@x.example\nTo: b@x.example\n\n", "\n", ending)
		for cut := range head {
			early := false
			parts := []string{head[:cut], head[cut:]}
			r := readFunc(func(p []byte) (int, error) {
				for len(parts) > 0 && parts[0] == "" {
					parts = parts[1:]
				}
				if len(parts) == 0 {
					early = true
					return 0, io.EOF
				}
				n := copy(p, parts[0])
				parts[0] = parts[0][n:]
				return n, nil
			})
			env, rest, err := submission.ReadEnvelope(r)
			if err != nil || early {
				t.Fatalf("%q cut at %d: %v, waited: %v", head, cut, err, early)
			}
			parts = append(parts, "hi", "there")
			if got, err := io.ReadAll(rest); err != nil || string(got) != strings.Replace(head, "Bcc: c@x.example"+ending, "", 1)+"hithere" || len(env.To) != 2 {
				t.Errorf("%q cut at %d: %q, %v", head, cut, got, err)
			}
		}
	}
}

// A source that fails: its error is found. Where it fails after the header section, the
// reader gives it in its place.
func TestReadEnvelopeSourceFails(t *testing.T) {
	bad := errors.New("disk on fire")
	for _, head := range []string{"", "From: a@x.example\n", "From: a@x.example\nTo: b@x.example"} {
		for _, r := range []io.Reader{
			io.MultiReader(strings.NewReader(head), iotest.ErrReader(bad)),
			&failsWithData{head, bad},
		} {
			_, rest, err := submission.ReadEnvelope(r)
			if !errors.Is(err, bad) || rest != nil {
				t.Errorf("%q: %v, %v", head, rest, err)
			}
			wantSays(t, err, []string{"message: source: disk on fire"}, nil)
		}
	}
	const whole = "From: a@x.example\nTo: b@x.example\n\nhi"
	for _, r := range []io.Reader{
		io.MultiReader(strings.NewReader(whole), iotest.ErrReader(bad)),
		&failsWithData{whole, bad},
	} {
		_, rest, err := submission.ReadEnvelope(r)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(rest); string(got) != whole || err != bad {
			t.Errorf("%q, %v", got, err)
		}
	}
	_, _, err := submission.ReadEnvelope(readFunc(func([]byte) (int, error) { return 0, nil }))
	if !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("a source that gives nothing: %v", err)
	}
}

// failsWithData gives all it has together with an error.
type failsWithData struct {
	text string
	err  error
}

func (f *failsWithData) Read(p []byte) (int, error) {
	n := copy(p, f.text)
	f.text = f.text[n:]
	if f.text == "" {
		return n, f.err
	}
	return n, nil
}

// A source that has come to its end is not asked again: a terminal would wait for more.
func TestReadEnvelopeAsksOnceForTheEnd(t *testing.T) {
	ends := 0
	text := strings.NewReader("From: a@x.example\nTo: b@x.example\n")
	r := readFunc(func(p []byte) (int, error) {
		n, err := text.Read(p)
		if err != nil {
			ends++
		}
		return n, err
	})
	_, rest, err := submission.ReadEnvelope(r)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(rest); err != nil || ends != 1 {
		t.Errorf("%d ends, %v", ends, err)
	}
}

// The reader can seek where its source can, as if the message were what is sent of it.
func TestReadEnvelopeSeek(t *testing.T) {
	const before = "not of the message"
	for _, in := range []string{
		"From: a@x.example\nBcc: c@x.example\nTo: b@x.example\n\n" + strings.Repeat("line\n", 3000),
		"From: a@x.example\nBcc: c@x.example\nTo: b@x.example\n",
		"From: a@x.example\nTo: b@x.example\n\n",
	} {
		want := strings.Replace(in, "Bcc: c@x.example\n", "", 1)
		source := strings.NewReader(before + in)
		if _, err := source.Seek(int64(len(before)), io.SeekStart); err != nil {
			t.Fatal(err)
		}
		_, rest, err := submission.ReadEnvelope(source)
		if err != nil {
			t.Fatal(err)
		}
		s, ok := rest.(io.ReadSeeker)
		if !ok {
			t.Fatalf("a %T cannot seek", rest)
		}
		if err := iotest.TestReader(s, []byte(want)); err != nil {
			t.Error(err)
		}
		model := bytes.NewReader([]byte(want))
		if _, err := s.Seek(0, io.SeekStart); err != nil {
			t.Fatal(err)
		}
		n := int64(len(want))
		for i, step := range []struct {
			offset int64
			whence int
		}{
			{0, io.SeekCurrent}, {5, io.SeekStart}, {10, io.SeekCurrent}, {-3, io.SeekEnd}, {-n, io.SeekEnd}, {-1, io.SeekStart}, {-1, io.SeekCurrent},
			{-n - 1, io.SeekEnd}, {0, io.SeekEnd}, {7, io.SeekEnd}, {0, 3}, {n / 2, io.SeekStart}, {-n - 1, io.SeekEnd}, {-2 * n, io.SeekCurrent}, {n - 40, io.SeekStart}, {-n - 1, io.SeekEnd}, {-4, io.SeekCurrent}, {n + 9, io.SeekStart}, {-9 - n, io.SeekCurrent}, {0, io.SeekStart},
		} {
			at, err := s.Seek(step.offset, step.whence)
			wantAt, wantErr := model.Seek(step.offset, step.whence)
			if (err != nil) != (wantErr != nil) || err == nil && at != wantAt {
				t.Fatalf("step %d, %+v: %d, %v, want %d, %v", i, step, at, err, wantAt, wantErr)
			}
			var got, should [17]byte
			a, errA := io.ReadFull(s, got[:])
			b, errB := io.ReadFull(model, should[:])
			if a != b || errA != errB || got != should {
				t.Fatalf("step %d, %+v: %q, %v, want %q, %v", i, step, got[:a], errA, should[:b], errB)
			}
		}
	}
	for _, r := range []io.Reader{bytes.NewBufferString(readable[0].in), struct{ io.ReadSeeker }{cannotSeek{strings.NewReader(readable[0].in)}}} {
		_, rest, err := submission.ReadEnvelope(r)
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := rest.(io.Seeker); ok {
			t.Errorf("a message from %T can seek", r)
		}
	}
}

// Once the end of the source was seen, that is where the message ends: for Read, and for Seek.
func TestReadEnvelopeEndStays(t *testing.T) {
	const text = "From: a@x.example\nTo: b@x.example\n"
	f, err := os.Create(filepath.Join(t.TempDir(), "message"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte(text), 0); err != nil {
		t.Fatal(err)
	}
	_, rest, err := submission.ReadEnvelope(f)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("Bcc: c@x.example\n"), int64(len(text))); err != nil {
		t.Fatal(err)
	}
	if err := iotest.TestReader(rest, []byte(text)); err != nil {
		t.Error(err)
	}
	if at, err := rest.(io.Seeker).Seek(0, io.SeekEnd); at != int64(len(text)) || err != nil {
		t.Errorf("the end is at %d, %v", at, err)
	}
}

// cannotSeek is a pipe with a method Seek.
type cannotSeek struct{ io.Reader }

func (cannotSeek) Seek(int64, int) (int64, error) { return 0, errors.New("illegal seek") }
