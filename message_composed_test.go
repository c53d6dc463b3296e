package submission_test

import (
	"errors"
	"testing"

	"github.com/fe022423/submission"
)

// composed is a message of a library that makes messages.
type composed struct {
	from    string
	full    string // with a name
	fromErr error
	to      []string
	toErr   error
}

func (c composed) GetSender(fullAddr bool) (string, error) {
	if fullAddr {
		return c.full, c.fromErr
	}
	return c.from, c.fromErr
}

func (c composed) GetRecipients() ([]string, error) { return c.to, c.toErr }

var _ submission.Composed = composed{}

// The addresses of a composed message come bare, however the library writes them, and each
// recipient once.
func TestEnvelopeOf(t *testing.T) {
	for _, tt := range []struct {
		name string
		m    composed
		from string
		to   []string
	}{
		{"bare", composed{from: "a@x.example", to: []string{"b@x.example"}}, "a@x.example", []string{"b@x.example"}},
		{"without a name", composed{from: "a@x.example", full: "Anna <z@x.example>", to: []string{"b@x.example"}}, "a@x.example", []string{"b@x.example"}},
		{"brackets", composed{from: "<a@x.example>", to: []string{"<b@x.example>", "<c@x.example>"}}, "a@x.example", []string{"b@x.example", "c@x.example"}},
		{"names", composed{from: "Anna <a@x.example>", to: []string{`"Last, First" <b@x.example>`, "=?koi8-r?q?=C1?= <c@x.example>", "d@x.example (Dora)"}}, "a@x.example", []string{"b@x.example", "c@x.example", "d@x.example"}},
		{"quotes", composed{from: `<"a a"@x.example>`, to: []string{`"b,b"@x.example`, `C <"c@c"@x.example>`, `"d"@x.example`}}, `"a a"@x.example`, []string{`"b,b"@x.example`, `"c@c"@x.example`, `"d"@x.example`}},
		{"each once", composed{from: "a@x.example", to: []string{"b@x.example", "<b@X.EXAMPLE>", "B@x.example", "B <b@x.example>"}}, "a@x.example", []string{"b@x.example", "B@x.example"}},
		{"UTF-8", composed{from: "jürgen@bücher.example", to: []string{"<имя@x.example>"}}, "jürgen@bücher.example", []string{"имя@x.example"}},
		{"no sender", composed{to: []string{"b@x.example"}}, "", []string{"b@x.example"}},
		{"the null sender", composed{from: "<>", to: []string{"b@x.example"}}, submission.NullSender, []string{"b@x.example"}},
		{"Postmaster", composed{from: "a@x.example", to: []string{"Postmaster", "<Postmaster>"}}, "a@x.example", []string{"Postmaster"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			env, err := submission.EnvelopeOf(tt.m)
			if err != nil {
				t.Fatal(err)
			}
			if env.From != tt.from || !equalAddrs(env.To, tt.to) || env.UTF8 || env.Partial {
				t.Errorf("%+v, want from %q to %q", env, tt.from, tt.to)
			}
		})
	}
}

// What is no envelope is an error, and the library's own errors are found.
func TestEnvelopeOfErrors(t *testing.T) {
	bad := errors.New("it says no")
	for _, tt := range []struct {
		name string
		m    submission.Composed
		kind string
		is   error
	}{
		{"nil", nil, "header", nil},
		{"sender fails", composed{fromErr: bad, to: []string{"b@x.example"}}, "sender", bad},
		{"recipients fail", composed{from: "a@x.example", to: []string{"b@x.example"}, toErr: bad}, "header", bad},
		{"recipients fail, and there are none", composed{from: "a@x.example", toErr: bad}, "nobody", bad},
		{"nobody", composed{from: "a@x.example"}, "nobody", nil},
		{"sender is no address", composed{from: "Anna", to: []string{"b@x.example"}}, "sender", nil},
		{"two senders", composed{from: "a@x.example, b@x.example", to: []string{"b@x.example"}}, "sender", nil},
		{"two recipients in one", composed{from: "a@x.example", to: []string{"b@x.example, c@x.example"}}, "address", nil},
		{"an empty recipient", composed{from: "a@x.example", to: []string{"b@x.example", ""}}, "address", nil},
		{"the null path", composed{from: "a@x.example", to: []string{"<>"}}, "address", nil},
		{"brackets twice", composed{from: "a@x.example", to: []string{"<<b@x.example>>"}}, "address", nil},
		{"half the brackets", composed{from: "<a@x.example", to: []string{"b@x.example"}}, "sender", nil},
		{"text after the brackets", composed{from: "a@x.example", to: []string{"<b@x.example>x"}}, "address", nil},
		{"a space", composed{from: "a@x.example", to: []string{"b b@x.example"}}, "address", nil},
		{"a line break", composed{from: "a@x.example\r\nRSET", to: []string{"b@x.example"}}, "sender", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			env, err := submission.EnvelopeOf(tt.m)
			if err == nil {
				t.Fatalf("%+v", env)
			}
			if kind := kindOfReadError(err); kind != tt.kind || tt.is != nil && !errors.Is(err, tt.is) {
				t.Errorf("error of kind %s, want %s: %v", kind, tt.kind, err)
			}
			if tt.kind != "nobody" {
				checkErrorText(t, err)
			}
			if env.From != "" || env.To != nil {
				t.Errorf("%+v beside an error", env)
			}
		})
	}
}
