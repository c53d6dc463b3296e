package submission_test

import (
	"errors"
	"net/mail"
	"testing"

	"github.com/fe022423/submission"
)

// A list of To or Cc becomes recipients, in its order.
func TestParseTo(t *testing.T) {
	for list, want := range map[string][]string{
		"a@x.example":                                       {"a@x.example"},
		"Anna <a@example.net>, b@example.net":               {"a@example.net", "b@example.net"},
		`"Last, First" <a@example.net>`:                     {"a@example.net"},
		"=?utf-8?q?J=C3=BCrgen?= <j@example.net>":           {"j@example.net"},
		"friends: a@x.example, Bea <b@x.example>;":          {"a@x.example", "b@x.example"},
		"one: a@x.example;, two: b@x.example;, c@x.example": {"a@x.example", "b@x.example", "c@x.example"},
		"a@x.example, a@x.example":                          {"a@x.example", "a@x.example"},
		`"john doe"@x.example`:                              {`"john doe"@x.example`},
		`<"a@b"@x.example>`:                                 {`"a@b"@x.example`},
		"a@x.example (the first)":                           {"a@x.example"},
		"(the first) a@x.example, \"(b)\" <b@x.example>":    {"a@x.example", "b@x.example"},
		"=?windows-1252?q?J=FCrgen?= <j@example.net>":       {"j@example.net"},
		"a@x.example (=?koi8-r?q?=C1?=), =?x?q?y?= <b@y>":   {"a@x.example", "b@y"},
		"a@x.example,, b@x.example,":                        {"a@x.example", "b@x.example"},
		"jürgen@bücher.example":                             {"jürgen@bücher.example"},
	} {
		to, err := submission.ParseTo(list)
		if err != nil || !equalAddrs(to, want) {
			t.Errorf("%s: %v, %v, want %v", list, to, err, want)
		}
	}
	for _, list := range []string{"", " ", "friends:;", "undisclosed-recipients:;", "(nobody)", " (a) (b (c)) "} {
		if to, err := submission.ParseTo(list); !errors.Is(err, submission.ErrNoRecipients) || to != nil {
			t.Errorf("%q: %v, %v", list, to, err)
		}
	}
	for _, list := range []string{"a", "<a@x.example", "a@x.example b@x.example", "a@x.example\r\nBcc: c@x.example", ",", "(a", "a(b)c@x.example", "a@x.example,b@x.example;"} {
		to, err := submission.ParseTo(list)
		if e := (*submission.AddressError)(nil); !errors.As(err, &e) || e.Addr != list || e.Temporary() || to != nil {
			t.Errorf("%q: %v, %v", list, to, err)
		}
		wantSays(t, err, []string{"recipient"}, []string{"(ParseTo)"})
	}
}

// Addresses of net/mail become recipients.
func TestToAddresses(t *testing.T) {
	list, err := mail.ParseAddressList(`Anna <a@example.net>, "john doe"@x.example`)
	if err != nil {
		t.Fatal(err)
	}
	to := submission.ToAddresses(list[0], nil, list[1])
	if !equalAddrs(to, []string{"a@example.net", `"john doe"@x.example`}) {
		t.Errorf("%v", to)
	}
	if to := submission.ToAddresses(&mail.Address{Name: "P", Address: "Postmaster"}); !equalAddrs(to, []string{"Postmaster"}) {
		t.Errorf("%v", to)
	}
	if to := submission.ToAddresses(); len(to) != 0 {
		t.Errorf("%v", to)
	}
}

func equalAddrs(to []submission.Recipient, want []string) bool {
	if len(to) != len(want) {
		return false
	}
	for i := range to {
		if to[i].Addr != want[i] {
			return false
		}
	}
	return true
}
