package submission_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/fe022423/submission"
)

// domainOf returns a domain of n octets.
func domainOf(n int) string {
	var b strings.Builder
	for n-b.Len() > 63 {
		b.WriteString(repeat("d", 50) + ".")
	}
	b.WriteString(repeat("e", n-b.Len()))
	return b.String()
}

// goodAddresses are addresses, and what is sent between the angle brackets; "" means the
// address as it is.
var goodAddresses = []struct{ addr, path string }{
	{"a@b", ""},
	{"user@test.example", ""},
	{"first.last@test.example", ""},
	{"user+tag@test.example", ""},
	{"USER@TEST.example", ""},
	{"!#$%&'*+-/=?^_`{|}~@test.example", ""},
	{"0@1.2", ""},
	{"x@xn--e1aybc.example", ""},
	{"x@a--b.example", ""},
	{"x@123.example", ""},
	{"x@3com.example", ""},
	// Quoted strings. Quotes that are not needed are removed.
	{`"user"@test.example`, "user@test.example"},
	{`"first.last"@test.example`, "first.last@test.example"},
	{`"u\ser"@test.example`, "user@test.example"},
	{`"first last"@test.example`, ""},
	{`"@"@test.example`, ""},
	{`"a@b"@test.example`, ""},
	{`"a\"b"@test.example`, ""},
	{`"a\\b"@test.example`, ""},
	{`"\a\ b"@test.example`, `"a b"@test.example`},
	{`""@test.example`, ""},
	{`" "@test.example`, ""},
	{`"."@test.example`, ""},
	{`".a"@test.example`, ""},
	{`"a..b"@test.example`, ""},
	{`"x> AUTH=<y"@z`, ""},
	{`"a,b;c:d(e)[f]<g>"@test.example`, ""},
	{`"a\>b"@test.example`, `"a>b"@test.example`},
	// Dots in the wrong place are common. Quotes make the address valid.
	{".a@test.example", `".a"@test.example`},
	{"a.@test.example", `"a."@test.example`},
	{"a..b@test.example", `"a..b"@test.example`},
	{".@test.example", `"."@test.example`},
	// Address literals.
	{"x@[192.0.2.1]", ""},
	{"x@[IPv6:2001:db8::1]", ""},
	{"x@[ipv6:::1]", ""},
	{"x@[IPv6:::ffff:192.0.2.1]", ""},
	{"x@[tag:content]", ""},
	{"x@[X-Y:a.b!c]", ""},
	// The limits: 64 octets for the local part, 63 for a label, 254 in all.
	{repeat("l", 64) + "@test.example", ""},
	{`"` + repeat(" ", 62) + `"@test.example`, ""},
	{"x@" + repeat("d", 63) + ".example", ""},
	{repeat("l", 64) + "@" + domainOf(254-65), ""},
	{"x@" + domainOf(252), ""},
	// Internationalized domains become A-labels and need no extension.
	{"x@тест.example", "x@xn--e1aybc.example"},
	{"x@ТЕСТ.example", "x@xn--e1aybc.example"},
	{"x@bücher.example", "x@xn--bcher-kva.example"},
	{"x@BÜCHER.example", "x@xn--bcher-kva.example"},
	{"x@faß.example", "x@xn--fa-hia.example"},
	{"x@例え。テスト", "x@xn--r8jz45g.xn--zckzah"},
	// One pair of angle brackets, as it stands in a path.
	{"<user@test.example>", "user@test.example"},
	{`<"first last"@test.example>`, `"first last"@test.example`},
	{`<">"@test.example>`, `">"@test.example`},
	{`"<a@b>"@test.example`, ""},
	{"<x@тест.example>", "x@xn--e1aybc.example"},
	{"<x@[192.0.2.1]>", "x@[192.0.2.1]"},
	{"<x@" + domainOf(252) + ">", "x@" + domainOf(252)},
}

// badAddresses are refused before anything is sent.
var badAddresses = []string{
	"", "<>", "@", "a", "a@", "@b", "user", "user.test.example",
	// A name, and brackets that are not one pair around the whole.
	"Name <user@test.example>", `"Name" <user@test.example>`, "<user@test.example> Name", "<<user@test.example>>", "<user@test.example", "user@test.example>", "<user@test.example>x",
	"x<user@test.example>", "<<>>", "<<user@test.example>", "<user@test.example>>", "< user@test.example>", "<user@test.example >", " <user@test.example>", "<user@test.example> ", "< >", "<", ">", "><",
	"<user@test.example>\r\n", "<user@test.example\n>", "<a@b><c@d>", "<a@b>,<c@d>", "<@relay.example:a@test.example>", "<user>", "<@>",
	"a b@test.example", "a @test.example", "a@ test.example", "a@test.example ", " a@test.example", "a@test example",
	"a@b@c", "a,b@test.example", "a;b@test.example", "a:b@test.example", "a(b)@test.example", "a[b@test.example", `a\b@test.example`, `a"b@test.example`,
	"a<b@test.example", "a>b@test.example", "a@b>", "a@b> ORCPT=x", "a@b>\r\nRCPT TO:<c@d", "a@b<c", "a@b,c@d", "a@b;c", "a@b/c", `a@"b"`, "a@b(c)", "a@b:25", "a@b\\c",
	"@relay.example:a@test.example", "postmaster@", "Postmaster2",
	// Malformed quoted strings.
	`"@test.example`, `"a@test.example`, `a"@test.example`, `"a"b@test.example`, `"a"b"@test.example`, `"a\"@test.example`, `"a\`, `"a\é"@test.example`, `"a".b@test.example`,
	// Control characters, with and without quotes.
	"a\r\nb@test.example", "a\nb@test.example", "a\rb@test.example", "a\x00b@test.example", "a\tb@test.example", "a\x7fb@test.example", "a\x1bb@test.example",
	"\"a\r\nb\"@test.example", "\"a\\\r\\\nb\"@test.example", "\"a\x00b\"@test.example", "\"a\tb\"@test.example", "\"a\\\x7f\"@test.example",
	"a@test.example\r\n", "a@test.example\n", "a@test\r.example", "a@test.example\x00", "a\u0080b@test.example", "a@te\u009fst.example", "a\u0085b@test.example",
	// Octets that are not UTF-8.
	"a\xffb@test.example", "a@test\xc3.example", "\"a\xe2\x80\"@test.example", "a\xc0\x8ab@test.example", "a\xed\xa0\x80@test.example",
	// Domains.
	"a@.", "a@.b", "a@b.", "a@b..c", "a@-b", "a@b-", "a@b.-c", "a@b_c", "a@b!", "a@*", "a@[", "a@]", "a@[]", "a@[]]",
	"a@" + repeat("d", 64), "a@" + repeat("d", 64) + ".example", "a@" + domainOf(253), "a@" + domainOf(256), repeat("l", 64) + "@" + domainOf(190),
	"a@\u200b.example", "a@te\u202est.example", "a@-ü.example", "a@ü..example", "a@ü_.example", "a@" + repeat("ü", 60) + ".example",
	// Local parts.
	repeat("l", 65) + "@test.example", `"` + repeat(" ", 63) + `"@test.example`, repeat("l", 62) + "..@test.example",
	// Literals.
	"a@192.0.2.1]", "a@[192.0.2.1", "a@[192.0.2]", "a@[192.0.2.256]", "a@[192.0.2.1.]", "a@[2001:db8::1]", "a@[IPv6:]", "a@[IPv6:192.0.2.1]", "a@[IPv6:2001:db8::1%eth0]",
	"a@[IPv6:2001:db8::g]", "a@[tag:]", "a@[:x]", "a@[tag:a b]", "a@[tag:a>b]", "a@[tag:a\\b]", "a@[tag:[a]]", "a@[ta g:x]", "a@[192.0.2.1] ", "a@[192.0.2.1]x", "a@x[192.0.2.1]",
	"a@[tag:" + repeat("x", 260) + "]", "a@[tag:ü]",
}

// Every good address is sent as the grammar of RFC 5321, 4.1.2 wants it, as sender and as
// recipient.
func TestGoodAddresses(t *testing.T) {
	for _, tc := range goodAddresses {
		t.Run(tc.addr, func(t *testing.T) {
			path := tc.path
			if path == "" {
				path = tc.addr
			}
			s := openSession(t, play(t, "whole", greeted()+"C: MAIL FROM:<"+path+">\nS: 250 ok\nC: RCPT TO:<"+path+">\nS: 550 no\nC: QUIT\nS: 221 bye\neof"), plainText())
			defer s.Close()
			_, err := send(s, submission.Envelope{From: tc.addr, To: submission.To(tc.addr)})
			v := verdict{stage: submission.StageRcpt, code: 550}
			v.check(t, nil, err)
			if e := wantError[*submission.AddressError](t, err); e.Addr != tc.addr {
				t.Errorf("the error names %q", e.Addr)
			}
			if r := err.(*submission.SendError).Recipients; r[0].Addr != tc.addr {
				t.Errorf("the result names %q, not as the caller gave it", r[0].Addr)
			}
		})
	}
}

// A bad address is refused as recipient, sender, submitter and default sender, and no octet
// is written, whatever the server offers.
func TestBadAddresses(t *testing.T) {
	for _, addr := range badAddresses {
		t.Run(addr, func(t *testing.T) {
			s := openSession(t, play(t, "whole", greeted("PIPELINING", "SMTPUTF8", "8BITMIME", "AUTH PLAIN", "DSN")+"C: QUIT\nS: 221 bye\neof"), plainText())
			defer s.Close()
			_, err := send(s, memoTo(addr))
			verdict{stage: submission.StageRcpt, status: []submission.RecipientStatus{submission.RecipientInvalid}}.check(t, nil, err)
			e := wantError[*submission.AddressError](t, err)
			if e.Addr != addr || e.Reply != nil || e.Err == nil || e.Temporary() {
				t.Errorf("%+v", e)
			}
			if addr != "" && addr != submission.NullSender {
				env := memoTo("b@test.example")
				env.From = addr
				_, err = send(s, env)
				verdict{stage: submission.StageMail, status: []submission.RecipientStatus{submission.RecipientUnsent}}.check(t, nil, err)
				if e := wantError[*submission.SenderError](t, err); e.Addr != addr || e.Reply != nil || e.Err == nil || e.Temporary() {
					t.Errorf("%+v", e)
				}
				env = memoTo("b@test.example")
				env.Submitter = addr
				_, err = send(s, env)
				verdict{stage: submission.StageMail}.check(t, nil, err)
				if _, err := submission.New(testHost, &submission.Options{From: addr}); wantError[*submission.OptionError](t, err).Option != "From" {
					t.Error(err)
				}
			}
		})
	}
}

// Postmaster without a domain is a recipient, in upper and lower case, and only that. The
// null path is a sender, and only that.
func TestSpecialPaths(t *testing.T) {
	for _, name := range []string{"Postmaster", "postmaster", "POSTMASTER", "<Postmaster>", "<postmaster>"} {
		s := openSession(t, play(t, "whole", greeted()+"C: MAIL FROM:<>\nS: 250 ok\nC: RCPT TO:<"+strings.Trim(name, "<>")+">\nS: 250 ok\nC: DATA\nS: 354 go\n"+memoData+"S: 250 ok\nC: QUIT\nS: 221 bye\neof"), plainText())
		res := mustSend(t, s, submission.Envelope{From: submission.NullSender, To: submission.To(name)})
		if got := res.Recipients[0].Addr; got != name {
			t.Errorf("the result names %q, want %q", got, name)
		}
		s.Close()
	}
	s := openSession(t, play(t, "whole", greeted("AUTH PLAIN")+"C: QUIT\nS: 221 bye\neof"), plainText())
	defer s.Close()
	for _, name := range []string{"Postmaster", "<Postmaster>"} {
		_, err := send(s, submission.Envelope{From: name, To: submission.To("b@test.example")})
		wantError[*submission.SenderError](t, err)
		env := memoTo("b@test.example")
		env.Submitter = name
		if _, err = send(s, env); err == nil {
			t.Errorf("%s without a domain was accepted as a submitter", name)
		}
	}
	_, err := send(s, memoTo(submission.NullSender))
	wantError[*submission.AddressError](t, err)
	_, err = send(s, submission.Envelope{From: "a@test.example"})
	verdict{stage: submission.StageRcpt, is: submission.ErrNoRecipients}.check(t, nil, err)
	_, err = send(s, submission.Envelope{To: submission.To("b@test.example")})
	verdict{stage: submission.StageMail}.check(t, nil, err)
	wantError[*submission.SenderError](t, err)
}

// The default sender is used if the envelope has none.
func TestDefaultSender(t *testing.T) {
	for _, tc := range []struct{ option, from, path string }{
		{"default@test.example", "", "default@test.example"},
		{"default@test.example", "a@test.example", "a@test.example"},
		{"default@test.example", submission.NullSender, ""},
		{submission.NullSender, "", ""},
		{"d@тест.example", "", "d@xn--e1aybc.example"},
		{"<default@test.example>", "", "default@test.example"},
		{"<default@test.example>", "<a@test.example>", "a@test.example"},
	} {
		t.Run(fmt.Sprintf("option %q, From %q", tc.option, tc.from), func(t *testing.T) {
			s := openSession(t, play(t, "whole", greeted()+"C: MAIL FROM:<"+tc.path+">\nS: 550 no\nC: QUIT\nS: 221 bye\neof"),
				plainText(func(o *submission.Options) { o.From = tc.option }))
			defer s.Close()
			_, err := send(s, submission.Envelope{From: tc.from, To: submission.To("b@test.example")})
			e := wantError[*submission.SenderError](t, err)
			want := tc.from
			if want == "" {
				want = tc.option
			}
			if e.Addr != want {
				t.Errorf("the error names %q, want %q", e.Addr, want)
			}
		})
	}
}

// MAIL says SMTPUTF8 if a local part needs it. If the server does not offer it, such an
// address is refused. A domain never needs it.
func TestSMTPUTF8(t *testing.T) {
	const ascii, domain, local, both = "x@test.example", "x@тест.example", "имя@test.example", "имя@тест.example"
	paths := map[string]string{ascii: ascii, domain: "x@xn--e1aybc.example", local: local, both: "имя@xn--e1aybc.example"}
	for _, from := range []string{ascii, domain, local, both, submission.NullSender} {
		for _, to := range []string{ascii, domain, local, both} {
			for _, asked := range []bool{false, true} {
				for _, offered := range []bool{false, true} {
					t.Run(fmt.Sprintf("%s to %s, asked %v, offered %v", from, to, asked, offered), func(t *testing.T) {
						fromNeeds, toNeeds := from == local || from == both, to == local || to == both
						script := greeted()
						if offered {
							script = greeted("SMTPUTF8")
						}
						mail := "C: MAIL FROM:<" + paths[from] + ">"
						if fromNeeds || toNeeds || asked {
							mail += " SMTPUTF8"
						}
						good := offered || !fromNeeds && !toNeeds && !asked
						if good {
							script += mail + "\nS: 250 ok\nC: RCPT TO:<" + paths[to] + ">\nS: 250 ok\nC: DATA\nS: 354 go\n" + memoData + "S: 250 ok\n"
						}
						s := openSession(t, play(t, "whole", script+"C: QUIT\nS: 221 bye\neof"), plainText())
						_, err := send(s, submission.Envelope{From: from, To: submission.To(to), UTF8: asked})
						s.Close()
						if good {
							if err != nil {
								t.Error(err)
							}
							return
						}
						v := verdict{stage: submission.StageMail, is: submission.ErrUnsupported}
						if !fromNeeds && !asked {
							v.stage = submission.StageRcpt
							wantError[*submission.AddressError](t, err)
						} else {
							wantError[*submission.SenderError](t, err)
						}
						v.check(t, nil, err)
					})
				}
			}
		}
	}
}

// A partial envelope goes to the recipients that do not need SMTPUTF8, and MAIL does not say
// it then.
func TestSMTPUTF8Partial(t *testing.T) {
	s := openSession(t, play(t, "whole", greeted("PIPELINING")+flightOK+"C: QUIT\nS: 221 bye\neof"), plainText())
	defer s.Close()
	env := memoTo("имя@test.example", "b@test.example")
	env.Partial = true
	res, err := send(s, env)
	verdict{outcome: submission.PartlySent, stage: submission.StageRcpt, is: submission.ErrUnsupported,
		status: []submission.RecipientStatus{submission.RecipientUnsent, submission.RecipientSent}}.check(t, res, err)
}

// Characters whose low octet is CR or LF are sent in UTF-8, or not at all.
func TestLowOctetCRLF(t *testing.T) {
	const addr = "a\u010d\u010ab@test.example"
	s := openSession(t, play(t, "whole", greeted()+"C: QUIT\nS: 221 bye\neof"), plainText())
	_, err := send(s, memoTo(addr))
	verdict{stage: submission.StageRcpt, is: submission.ErrUnsupported}.check(t, nil, err)
	s.Close()
	s = openSession(t, play(t, "whole", greeted("SMTPUTF8")+"C: MAIL FROM:<a@test.example> SMTPUTF8\nS: 250 ok\n"+
		`C> RCPT TO:<a\xc4\x8d\xc4\x8ab@test.example>\r\n`+"\nS: 550 no\nC: QUIT\nS: 221 bye\neof"), plainText())
	_, err = send(s, memoTo(addr))
	verdict{stage: submission.StageRcpt, code: 550}.check(t, nil, err)
	s.Close()
}

// An address may be in the envelope more than once. Each time has a result of its own.
func TestRecipientTwice(t *testing.T) {
	s := openSession(t, play(t, "whole", greeted("PIPELINING")+`
		C: MAIL FROM:<a@test.example>
		C: RCPT TO:<b@test.example>
		C: RCPT TO:<b@test.example>
		S: 250 ok
		S: 250 ok
		S: 550 once is enough
		C: QUIT
		S: 221 bye
		eof`), plainText())
	defer s.Close()
	_, err := s.Send(context.Background(), memoTo("b@test.example", "b@test.example"), strings.NewReader(memo))
	verdict{stage: submission.StageRcpt, code: 550, codes: []int{250, 550},
		status: []submission.RecipientStatus{submission.RecipientUnsent, submission.RecipientInvalid}}.check(t, nil, err)
}

// A recipient with a bad address is not sent to the server. If the envelope is partial, the
// message goes to the others.
func TestBadRecipientsLocally(t *testing.T) {
	env := memoTo("no address", "b@test.example", "c@test.example\r\nRSET", "d@test.example")
	env.Partial = true
	s := openSession(t, play(t, "whole", greeted("PIPELINING")+`
		C: MAIL FROM:<a@test.example>
		C: RCPT TO:<b@test.example>
		C: RCPT TO:<d@test.example>
		C: DATA
		S: 250 ok
		S: 250 ok
		S: 450 full
		S: 354 go
	`+memoData+"S: 250 taken\nC: QUIT\nS: 221 bye\neof"), plainText())
	res, err := send(s, env)
	verdict{outcome: submission.PartlySent, stage: submission.StageRcpt, code: 450, temporary: true, codes: []int{0, 250, 0, 450},
		status: []submission.RecipientStatus{submission.RecipientInvalid, submission.RecipientSent, submission.RecipientInvalid, submission.RecipientUnsent}}.check(t, res, err)
	list := addressErrors(err)
	if len(list) != 3 || list[0].Addr != env.To[0].Addr || list[0].Err == nil || list[0].Reply != nil ||
		list[1].Addr != env.To[2].Addr || list[2].Reply == nil {
		t.Errorf("the address errors are %v", list)
	}
	s.Close()

	for name, to := range map[string][]string{
		"all-or-nothing": {"no address", "b@test.example"},
		"all of partial": {"no address", "b@"},
	} {
		t.Run(name, func(t *testing.T) {
			s := openSession(t, play(t, "whole", greeted("PIPELINING")+"C: QUIT\nS: 221 bye\neof"), plainText())
			defer s.Close()
			env := memoTo(to...)
			env.Partial = name != "all-or-nothing"
			res, err := send(s, env)
			status := []submission.RecipientStatus{submission.RecipientInvalid, submission.RecipientUnsent}
			if env.Partial {
				status[1] = submission.RecipientInvalid
			}
			verdict{stage: submission.StageRcpt, status: status, codes: []int{0, 0}}.check(t, res, err)
		})
	}
}
