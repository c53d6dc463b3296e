package mimefield

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

func show(params map[string]string) string {
	var list []string
	for _, key := range slices.Sorted(maps.Keys(params)) {
		list = append(list, fmt.Sprintf("%s=%q", key, params[key]))
	}
	return strings.Join(list, " ")
}

func TestParse(t *testing.T) {
	for _, tt := range []struct{ field, value, params string }{
		{"text/plain", "text/plain", ""},
		{" Text/Plain ", "text/plain", ""},
		{"attachment", "attachment", ""},
		{"text/plain; charset=us-ascii", "text/plain", `charset="us-ascii"`},
		{"text/plain;charset = us-ascii ;Format=Flowed", "text/plain", `charset="us-ascii" format="Flowed"`},
		{"text/plain; charset=us-ascii;", "text/plain", `charset="us-ascii"`},
		{"text/plain; charset=us-ascii; ; ", "text/plain", `charset="us-ascii"`},
		{"text/plain; charset=us-ascii (Plain text)", "text/plain", `charset="us-ascii"`}, // RFC 2045, 5.1
		{"(a (b) \\) c) text/plain (d); (e) charset (f) = (g) x (h)", "text/plain", `charset="x"`},
		{`text/plain; charset="us-ascii"`, "text/plain", `charset="us-ascii"`},
		{`multipart/mixed; boundary="gc0pJq0M:08jU534c0p"`, "multipart/mixed", `boundary="gc0pJq0M:08jU534c0p"`},
		{`a/b; n="a \"b\" \\ c; (d)"`, "a/b", `n="a \"b\" \\ c; (d)"`},
		{`a/b; n=""`, "a/b", `n=""`},
		{`a/b; n="ä€.txt"`, "a/b", `n="ä€.txt"`}, // RFC 6532, 3.2

		// RFC 2231, 3
		{`message/external-body; access-type=URL; URL*0="ftp://"; URL*1="cs.utk.edu/pub/moore/bulk-mailer/bulk-mailer.tar"`,
			"message/external-body", `access-type="URL" url="ftp://cs.utk.edu/pub/moore/bulk-mailer/bulk-mailer.tar"`},
		// RFC 2231, 4
		{"application/x-stuff; title*=us-ascii'en-us'This%20is%20%2A%2A%2Afun%2A%2A%2A", "application/x-stuff", `title="This is ***fun***"`},
		// RFC 2231, 4.1
		{`application/x-stuff; title*0*=us-ascii'en'This%20is%20even%20more%20; title*1*=%2A%2A%2Afun%2A%2A%2A%20; title*2="isn't it!"`,
			"application/x-stuff", `title="This is even more ***fun*** isn't it!"`},
		{"attachment; filename*=UTF-8''%e2%82%ac%20rates.txt", "attachment", `filename="€ rates.txt"`},
		{"attachment; filename*=utf-8'de'%C3%BC.txt; filename=u.txt", "attachment", `filename="ü.txt"`},
		{"attachment; filename=u.txt; FileName*=utf-8''%C3%BC.txt", "attachment", `filename="ü.txt"`},
		{"attachment; filename*=iso-8859-1''%fc.txt", "attachment", `filename="ü.txt"`},
		{"attachment; filename*0*=ISO-8859-1''%fc; filename*1*=%E4.txt", "attachment", `filename="üä.txt"`},
		{"attachment; filename*1*=%BC.txt; filename*0*=utf-8''%C3", "attachment", `filename="ü.txt"`}, // one character in two parts, in any order
		{"attachment; filename*=''a.txt", "attachment", `filename="a.txt"`},
		{"attachment; filename*0=a; filename*1=b; filename*2=c; filename*3=d; filename*4=e; filename*5=f; filename*6=g; filename*7=h; filename*8=i; filename*9=j; filename*10=k", "attachment", `filename="abcdefghijk"`},
		{`attachment; filename*0="a%41"; filename*1*=%41`, "attachment", `filename="a%41A"`},

		// Not in any RFC, and everywhere.
		{`attachment; filename="=?utf-8?Q?=C3=BC?= =?ISO-8859-1?B?5C50eHQ=?="`, "attachment", `filename="üä.txt"`},
		{`attachment; filename="=?x?="`, "attachment", `filename="=?x?="`},
	} {
		value, params, err := Parse(tt.field)
		if err != nil || value != tt.value || show(params) != tt.params {
			t.Errorf("%s: %s, %s, %v; want %s, %s", tt.field, value, show(params), err, tt.value, tt.params)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for field, want := range map[string]string{
		"":                               "no value",
		" (a)":                           "no value",
		"; a=b":                          "no value",
		"text/plain charset=x":           `"charset=x" where a semicolon`,
		"text/plain; charset":            "charset has no value",
		"text/plain; charset=":           "charset has no value",
		"text/plain; =x":                 `"=x" where the name of a parameter`,
		"text/plain; a=b; a=c":           "a is given twice",
		"text/plain; a*=utf-8''b; A*=''": "a is given twice",
		`text/plain; a="b`:               "a quotation mark is missing",
		`text/plain; a="b\`:              "a quotation mark is missing",
		"text/plain (a":                  "a bracket is missing",
		"text/plain; name=my file.txt":   `"file.txt" where a semicolon`,
		"text/plain; boundary=a/b":       "a value with / needs quotation marks",
		"text/plain; name=ä":             "needs quotation marks",
		"a/b; n*=utf-8''%4":              "malformed percent",
		"a/b; n*=utf-8''%zz":             "malformed percent",
		"a/b; n*=utf-8":                  "no character set",
		"a/b; n*=koi8-r''%c1":            `character set "koi8-r"`,
		"a/b; n*=utf-8''%ff":             "not UTF-8",
		"a/b; n*=us-ascii''%ff":          "not US-ASCII",
		"a/b; n*1=a":                     "part 0 of n is missing",
		"a/b; n*0=a; n*2=b":              "part 1 of n is missing",
		"a/b; n*0=a; n*00=b":             "part 00 of n",
		"a/b; n*x=a":                     "part x of n",
		"a/b; n*-1=a":                    "part -1 of n",
		`a/b; n="=?koi8-r?Q?=C1?="`:      `character set "koi8-r"`,
	} {
		if value, params, err := Parse(field); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %s, %s, %v; want %s", field, value, show(params), err, want)
		}
	}
}

func TestDecode(t *testing.T) {
	for _, tt := range []struct{ charset, octets, want, fails string }{
		{"utf-8", "aü€", "aü€", ""},
		{"UTF8", "aü€", "aü€", ""},
		{"UTF-8", "\xfc", "", "not UTF-8"},
		{"us-ascii", "abc", "abc", ""},
		{"ASCII", "ü", "", "not US-ASCII"},
		{"iso-8859-1", "a\xfc\xff\x80", "aüÿ\u0080", ""},
		{"Latin1", "\xe4", "ä", ""},
		{"", "abc", "abc", ""},
		{"", "ü", "ü", ""}, // nobody said what it is, and it can be nothing else
		{"", "\xfc", "", "octets above 0x7f without a character set"},
		{"koi8-r", "abc", "", `character set "koi8-r"`},
	} {
		got, err := Decode(tt.charset, []byte(tt.octets))
		if got != tt.want || (err == nil) != (tt.fails == "") || err != nil && !strings.Contains(err.Error(), tt.fails) {
			t.Errorf("%s %q: %q, %v", tt.charset, tt.octets, got, err)
		}
	}
}

func TestWords(t *testing.T) {
	for text, want := range map[string]string{
		"":                                      "",
		"plain":                                 "plain",
		"ä raw":                                 "ä raw",
		"=?ISO-8859-1?Q?a?= b":                  "a b", // RFC 2047, 8
		"=?ISO-8859-1?Q?a?= =?ISO-8859-1?Q?b?=": "ab",
		"=?ISO-8859-1?Q?a_b?=":                  "a b",
		"=?iso-8859-1?q?J=F6rg?= <j@x>":         "Jörg <j@x>",
		"=?utf-8?b?w7w=?=":                      "ü",
		"=?utf8?b?w7w=?=":                       "ü",
		"=?latin1?Q?=FC?=":                      "ü",
		"=?US-ASCII?Q?Keith_Moore?=":            "Keith Moore",
		"=?utf-8?X?abc?=":                       "=?utf-8?X?abc?=",
		"Re: =?utf-8*en?Q?=C3=BC?= with language": "Re: ü with language", // RFC 2231, 5
	} {
		if got, err := Words(text); err != nil || got != want {
			t.Errorf("%s: %q, %v, want %q", text, got, err, want)
		}
	}
	if got, err := Words("=?koi8-r?Q?=C1?="); err == nil || !strings.Contains(err.Error(), `character set "koi8-r"`) {
		t.Errorf("%q, %v", got, err)
	}
}

func TestTransfer(t *testing.T) {
	for _, tt := range []struct{ encoding, body, want, fails string }{
		{"", "a=20\r\n", "a=20\r\n", ""},
		{"7bit", "a=20\r\n", "a=20\r\n", ""},
		{"8BIT", "\xff", "\xff", ""},
		{"binary", "\x00\n", "\x00\n", ""},
		{"Quoted-Printable", "a=20b=\r\nc=3D=C3=BC\r\n", "a bc=ü\r\n", ""},
		{"quoted-printable", "a= \t\r\nb=\nc=", "abc", ""},
		{"quoted-printable", "a=c3=BC", "aü", ""},
		{"quoted-printable", "a=ZZ", "", `"=ZZ"`}, // a program that names the encoding and does not encode
		{"quoted-printable", "a=4", "", `"=4"`},
		{"quoted-printable", "a= b\r\n", "", `"= b"`},
		{"quoted-printable", "a\x00=41", "", "quotedprintable"},
		{"BASE64", "YWJj\r\nZGU=\r\n", "abcde", ""},
		{"base64", " Y W\tJj ", "abc", ""},
		{"base64", "", "", ""},
		{"base64", "YWJ", "", "base64"},
		{"base64", "YWJj!", "", "base64"},
		{"base64", "YQ==YQ==", "", "base64"},
		{"x-uuencode", "abc", "", `"x-uuencode"`},
		{" base64 (a comment)", "YWJj", "abc", ""},
	} {
		got, err := Transfer(tt.encoding, []byte(tt.body))
		if string(got) != tt.want || (err == nil) != (tt.fails == "") || err != nil && !strings.Contains(err.Error(), tt.fails) {
			t.Errorf("%s %q: %q, %v", tt.encoding, tt.body, got, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("text/plain; charset=us-ascii (x); n*0*=utf-8''%C3; n*1*=%BC; name=\"=?utf-8?Q?=C3=BC?=\"")
	f.Fuzz(func(t *testing.T, field string) {
		value, params, err := Parse(field)
		if err != nil && (value != "" || params != nil || strings.Contains(err.Error(), "\n")) {
			t.Errorf("%q, %q, %v", value, params, err)
		}
		if err == nil && value == "" {
			t.Error("no value and no error")
		}
	})
}
