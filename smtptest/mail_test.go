package smtptest

import (
	"fmt"
	"mime/quotedprintable"
	"net/mail"
	"strings"
	"testing"
	"unicode/utf8"
)

// parse parses a message that is written with LF.
func parse(text string) (*Mail, error) {
	data := strings.ReplaceAll(text, "\n", "\r\n")
	return Message{Data: []byte(data), Size: int64(len(data))}.Parse()
}

// content shows text, HTML and attachments.
func content(m *Mail) string {
	all := fmt.Sprintf("text %q, HTML %q", m.Text, m.HTML)
	for _, p := range m.Attachments {
		all += fmt.Sprintf(", %s %q %q", p.Type, p.Name, p.Data)
	}
	return all
}

func TestMailContent(t *testing.T) {
	const mixed = "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=\"=_a\"\n\n"
	for name, tt := range map[string]struct{ message, want string }{
		"no MIME":            {"Subject: x\n\nOne.\nTwo.\n", `text "One.\nTwo.\n", HTML ""`},
		"no MIME, UTF-8":     {"Subject: x\n\nGrüße\n", `text "Grüße\n", HTML ""`},
		"no body":            {"Subject: x\n\n", `text "", HTML ""`},
		"no end of header":   {"Subject: x\n", `text "", HTML ""`},
		"no header":          {"\nbody\n", `text "body\n", HTML ""`},
		"HTML alone":         {"Content-Type: TEXT/HTML; Charset=UTF-8\n\n<p>ü\n", `text "", HTML "<p>ü\n"`},
		"ISO-8859-1":         {"Content-Type: text/plain; charset=ISO-8859-1\nContent-Transfer-Encoding: quoted-printable\n\nGr=FC=DFe=\n, Anna\n", `text "Grüße, Anna\n", HTML ""`},
		"base64":             {"Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: base64\n\n" + b64("Grüße\r\nAnna") + "\n", `text "Grüße\nAnna", HTML ""`},
		"a PDF alone":        {"Content-Type: application/pdf; name=a.pdf\nContent-Transfer-Encoding: base64\n\nJVBERg==\n", `text "", HTML "", application/pdf "a.pdf" "%PDF"`},
		"text as attachment": {"Content-Type: text/plain\nContent-Disposition: attachment\n\nx\n", `text "", HTML "", text/plain "" "x\r\n"`},
		"a calendar":         {"Content-Type: text/calendar\n\nx\n", `text "", HTML "", text/calendar "" "x\r\n"`},
		"folded":             {"Content-Type: text/html;\n\tcharset=\"utf-8\"\n\nx", `text "", HTML "x"`},

		// RFC 2046, 5.1.1: the example, preamble, epilogue and parts without a header
		"two texts": {"MIME-Version: 1.0\nContent-type: multipart/mixed; boundary=\"simple boundary\"\n\nThis is the preamble.\n\n--simple boundary\n\nImplicit.\nNo end.\n--simple boundary\nContent-type: text/plain; charset=us-ascii\n\nExplicit.\n\n--simple boundary--\n\nThis is the epilogue.\n",
			`text "Implicit.\nNo end.", HTML "", text/plain "" "Explicit.\r\n"`},
		"alternative": {"Content-Type: multipart/alternative; boundary=b\n\n--b\nContent-Type: text/plain\n\nT\n--b\nContent-Type: text/html\n\nH\n--b--\n", `text "T", HTML "H"`},
		"an attachment": {mixed + "--=_a\n\nT\n--=_a\nContent-Type: application/pdf\nContent-Disposition: attachment; filename=\"a b.pdf\"\nContent-Transfer-Encoding: base64\n\nJVBE\nRg==\n--=_a--\n",
			`text "T", HTML "", application/pdf "a b.pdf" "%PDF"`},
		"a text with a name": {mixed + "--=_a\nContent-Type: text/plain; name=\"notes.txt\"\nContent-Disposition: inline\n\nN\n--=_a\n\nT\n--=_a--\n",
			`text "T", HTML "", text/plain "notes.txt" "N"`},
		"an unknown disposition": {mixed + "--=_a\nContent-Disposition: x-new\n\nN\n--=_a\nContent-Disposition: INLINE\n\nT\n--=_a--\n", // RFC 2183, 2.8
			`text "T", HTML "", text/plain "" "N"`},
		"all of them": {mixed + "--=_a\nContent-Type: multipart/alternative; boundary=b\n\n--b\n\nT\n--b\nContent-Type: multipart/related; boundary=c; type=\"text/html\"\n\n--c\nContent-Type: text/html\n\n<img src=\"cid:1\">\n--c\nContent-Type: image/png\nContent-ID: <1>\nContent-Disposition: inline\nContent-Transfer-Encoding: base64\n\niVBORw==\n--c--\n--b--\n--=_a\nContent-Type: application/pdf\nContent-Disposition: attachment; filename*=iso-8859-1''%fcber.pdf\n\nP\n--=_a--\n",
			`text "T", HTML "<img src=\"cid:1\">", image/png "" "\x89PNG", application/pdf "über.pdf" "P"`},
		"a message in it": {mixed + "--=_a\n\nT\n--=_a\nContent-Type: message/rfc822\n\nSubject: inner\nContent-Type: multipart/mixed; boundary=x\n\nnot looked at\n--=_a--\n",
			`text "T", HTML "", message/rfc822 "" "Subject: inner\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\nnot looked at"`},
		"a digest": {"Content-Type: multipart/digest; boundary=b\n\n--b\n\nSubject: a\n\nA\n--b\nContent-Type: text/plain\n\nT\n--b--\n", // RFC 2046, 5.1.5
			`text "T", HTML "", message/rfc822 "" "Subject: a\r\n\r\nA"`},
		"a report": {"Content-Type: multipart/report; report-type=delivery-status; boundary=b\n\n--b\n\nT\n--b\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; a\n--b--\n",
			`text "T", HTML "", message/delivery-status "" "Reporting-MTA: dns; a"`},
		"the disposition's name": {mixed + "--=_a\nContent-Type: image/png; name=two\nContent-Disposition: attachment; filename=one\n\nI\n--=_a--\n",
			`text "", HTML "", image/png "one" "I"`},
		"no name, but Content-Type's": {mixed + "--=_a\nContent-Type: image/png; name=\"=?utf-8?Q?=C3=BC.png?=\"\nContent-Disposition: inline\n\nI\n--=_a--\n",
			`text "", HTML "", image/png "ü.png" "I"`},
		"a name in parts": {mixed + "--=_a\nContent-Type: image/png\nContent-Disposition: attachment;\n filename*0*=utf-8''%C3%BC;\n filename*1=\"ber.png\"\n\nI\n--=_a--\n",
			`text "", HTML "", image/png "über.png" "I"`},
		"an odd character set, attached": {mixed + "--=_a\nContent-Type: text/csv; charset=koi8-r\n\n\xc1\n--=_a--\n", `text "", HTML "", text/csv "" "\xc1"`},
		"binary":                         {mixed + "--=_a\nContent-Type: application/x\nContent-Transfer-Encoding: binary\n\n\x00\xff\n--=_a--\n", `text "", HTML "", application/x "" "\x00\xff"`},
		"quoted-printable in a part":     {mixed + "--=_a\nContent-Transfer-Encoding: quoted-printable\n\na=3Db\n--=_a--\n", `text "a=b", HTML ""`},
		"an empty part":                  {mixed + "--=_a\n\n\n--=_a--\n", `text "", HTML ""`},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := parse(tt.message)
			if err != nil {
				t.Fatal(err)
			}
			if got := content(m); got != tt.want {
				t.Errorf("%s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestMailHeader(t *testing.T) {
	m, err := parse("From: =?ISO-8859-1?Q?J=F6rg?= <j@b.example>\nTo: a@b.example, \"Doe, Jane\" <jane@b.example>\n" +
		"to: third@b.example\nCc: A group: x@b.example, y@b.example;,\n z@b.example\n" +
		"Subject: =?utf-8?Q?Gr=C3=BC=C3=9Fe?=\n =?utf-8?B?IGFuIEFubmE=?= und andere\nX-Tag: one\nX-Tag: two\n\n")
	if err != nil {
		t.Fatal(err)
	}
	list := func(all []*mail.Address) string { return fmt.Sprint(all) }
	if m.Subject != "Grüße an Anna und andere" || list(m.From) != "[=?utf-8?q?J=C3=B6rg?= <j@b.example>]" || m.From[0].Name != "Jörg" ||
		list(m.To) != `[<a@b.example> "Doe, Jane" <jane@b.example> <third@b.example>]` || list(m.Cc) != "[<x@b.example> <y@b.example> <z@b.example>]" {
		t.Errorf("%q, from %v, to %v, cc %v", m.Subject, m.From, m.To, m.Cc)
	}
	if got := m.Header["X-Tag"]; len(got) != 2 || m.Header.Get("x-tag") != "one" {
		t.Errorf("%q", got)
	}

	m, err = parse("From: <ü@ö.example>\nTo: undisclosed-recipients:;\nCc: \nSubject: roh ü\n\n") // RFC 6532
	if err != nil || m.From[0].Address != "ü@ö.example" || len(m.To) != 0 || len(m.Cc) != 0 || m.Subject != "roh ü" {
		t.Errorf("%+v, %v", m, err)
	}
	if m, err = parse("Date: x\n\n"); err != nil || m.From != nil || m.To != nil || m.Cc != nil || m.Subject != "" {
		t.Errorf("%+v, %v", m, err)
	}
}

// The header of a part is the part's; that of a message that is itself an attachment is the
// message's.
func TestMailPartHeader(t *testing.T) {
	m, err := parse("Subject: x\nContent-Type: multipart/related; boundary=b\n\n--b\nContent-Type: image/png\nContent-ID: <1@x>\nX-Ü: y\n\nI\n--b--\n")
	if err == nil {
		t.Errorf("a name of a field that is not ASCII: %+v", m)
	}
	m, err = parse("Subject: x\nContent-Type: multipart/related; boundary=b\n\n--b\nContent-Type: image/png\nContent-ID: <1@x>\nContent-Transfer-Encoding: quoted-printable\n\nI\n--b--\n")
	if err != nil {
		t.Fatal(err)
	}
	if h := m.Attachments[0].Header; h.Get("content-id") != "<1@x>" || h.Get("Subject") != "" || h.Get("Content-Transfer-Encoding") != "quoted-printable" {
		t.Errorf("%v", h)
	}
	m, err = parse("Subject: x\nContent-Type: image/png\n\nI\n")
	if err != nil || m.Attachments[0].Header.Get("Subject") != "x" {
		t.Errorf("%+v, %v", m, err)
	}
	inner, err := Message{Data: []byte("Subject: inner\r\n\r\nT")}.Parse()
	if err != nil || inner.Subject != "inner" || inner.Text != "T" {
		t.Errorf("%+v, %v", inner, err)
	}
}

// nested is a message with so many multiparts in each other.
func nested(depth int) string {
	text := "\nx\n"
	for n := range depth {
		text = fmt.Sprintf("Content-Type: multipart/mixed; boundary=\"=_%d=\"\n\n--=_%d=\n%s\n--=_%d=--\n", n, n, text, n)
	}
	return text
}

func TestMailNested(t *testing.T) {
	if m, err := parse(nested(20)); err != nil || m.Text != "x\n" {
		t.Errorf("%+v, %v", m, err)
	}
}

func TestMailRefuses(t *testing.T) {
	const mixed = "Content-Type: multipart/mixed; boundary=a\n\n"
	for name, tt := range map[string]struct{ message, want string }{
		"empty":                     {"", "the message is empty"},
		"no field":                  {"text\n\nmore\n", "header section: "},
		"From":                      {"From: nobody\n\n", "field From: "},
		"To":                        {"To: a@b, \n c d\n\n", "field To: "},
		"the second To":             {"To: a@b\nTo: @\n\n", "field To: "},
		"Cc":                        {"Cc: <a@b\n\n", "field Cc: "},
		"subject":                   {"Subject: =?koi8-r?Q?=C1?=\n\n", `field Subject: character set "koi8-r"`},
		"a name":                    {"From: =?koi8-r?Q?=C1?= <a@b>\n\n", "field From: "},
		"Content-Type":              {"Content-Type: text\n\nx", `part 1: Content-Type "text" is not type/subtype`},
		"Content-Type, no value":    {"Content-Type: ;\n\nx", "part 1: Content-Type: no value"},
		"Content-Disposition":       {"Content-Disposition: attachment; filename=a b\n\nx", "part 1: Content-Disposition: "},
		"character set":             {"Content-Type: text/plain; charset=koi8-r\n\nx", `part 1 (text/plain): character set "koi8-r"`},
		"not UTF-8":                 {"Content-Type: text/html; charset=utf-8\n\n\xfc", "part 1 (text/html): the octets are not UTF-8"},
		"not US-ASCII":              {"Content-Type: text/plain; charset=us-ascii\n\nü", "part 1 (text/plain): the octets are not US-ASCII"},
		"base64":                    {"Content-Transfer-Encoding: base64\n\n!", "part 1 (text/plain): base64: "},
		"transfer encoding":         {"Content-Transfer-Encoding: zip\n\nx", `part 1 (text/plain): transfer encoding "zip"`},
		"no boundary":               {"Content-Type: multipart/mixed\n\nx", "part 1 (multipart/mixed): no boundary"},
		"an empty boundary":         {"Content-Type: multipart/mixed; boundary=\"\"\n\nx", "part 1 (multipart/mixed): no boundary"},
		"another boundary":          {mixed + "--b\n\nx\n--b--\n", "part 1 (multipart/mixed): "},
		"no part":                   {mixed + "--a--\n", "part 1 (multipart/mixed): no part in it"},
		"no last boundary":          {mixed + "--a\n\nx\n", "part 1 (multipart/mixed): the boundary that ends it is missing"},
		"no last boundary, no line": {mixed + "--a\n\nx", "part 1 (multipart/mixed): the boundary that ends it is missing"},
		"an encoded multipart":      {"Content-Transfer-Encoding: base64\n" + mixed + "LS1hCg==\n", "part 1 (multipart/mixed): encoded with base64"}, // RFC 2045, 6.4
		"a part":                    {mixed + "--a\n\nx\n--a\nContent-Transfer-Encoding: base64\n\n!\n--a--\n", "part 2 (text/plain): base64: "},
		"a part of a part":          {mixed + "--a\n\nx\n--a\nContent-Type: multipart/alternative; boundary=b\n\n--b\n\nx\n--b\nContent-Type: nonsense\n\n\n--b--\n--a--\n", `part 2.2: Content-Type "nonsense"`},
		"what it quotes, escaped":   {"a\x1b[31m\n\n", `a\x1b[31m`},
		"a part's header":           {mixed + "--a\nno field\n\nx\n--a--\n", "part 1 (multipart/mixed): "},
		"too deep":                  {nested(200), "too many parts within parts"},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := parse(tt.message)
			if err == nil || m != nil || !strings.HasPrefix(err.Error(), "smtptest: message from ") || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%+v, %v, want %s", m, err, tt.want)
			}
		})
	}
	_, err := Message{From: "a@b", Size: 9}.Parse()
	if err == nil || err.Error() != "smtptest: message from <a@b>: the server kept none of its 9 bytes (Config.Discard)" {
		t.Errorf("%v", err)
	}
}

// What arrives at a server is parsed as it was sent, whatever it is made of.
func TestMailArrives(t *testing.T) {
	s := newServer(t, nil)
	c := piped(t, s)
	var text strings.Builder
	w := quotedprintable.NewWriter(&text)
	fmt.Fprint(w, strings.Repeat("Grüße ", 40)+"\n.\n..\n")
	w.Close()
	dialogue(c, "> MAIL FROM:<a@b>", "< 250", "> RCPT TO:<c@d>", "< 250", "> DATA", "< 354")
	body := strings.ReplaceAll("\n"+strings.ReplaceAll(text.String(), "\r\n", "\n"), "\n.", "\n..")
	c.do("Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n"+strings.ReplaceAll(body, "\n", "\r\n")+".", "250")
	m, err := s.Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if mail, err := m.Parse(); err != nil || mail.Text != strings.Repeat("Grüße ", 40)+"\n.\n..\n" {
		t.Errorf("%+v, %v", mail, err)
	}
}

// Parse neither panics nor returns text that is not UTF-8.
func FuzzMessageParse(f *testing.F) {
	f.Add([]byte("From: a <a@b>\r\nSubject: =?utf-8?Q?=C3=BC?=\r\nContent-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\n\r\nx\r\n--a\r\nContent-Type: text/html; charset=iso-8859-1\r\nContent-Transfer-Encoding: base64\r\n\r\nYQ==\r\n--a--\r\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := Message{Data: data, Size: int64(len(data))}.Parse()
		if (m == nil) != (err != nil) {
			t.Fatalf("%+v, %v", m, err)
		}
		if m != nil && !(utf8.ValidString(m.Text) && utf8.ValidString(m.HTML)) {
			t.Errorf("%q, %q", m.Text, m.HTML)
		}
		if err != nil && strings.Contains(err.Error(), "\n") {
			t.Errorf("more than one line: %v", err)
		}
	})
}
