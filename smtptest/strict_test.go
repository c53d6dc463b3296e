package smtptest

import (
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// strictTest is a client that does something against the protocol, or nothing.
type strictTest struct {
	config Config
	lines  []string // as for dialogue, but "+" writes without CRLF
	fault  string   // what the transcript says, "" for nothing
}

const (
	early8    = "8-bit octets, but 8BITMIME is not offered (Config.Lenient8BitMIME allows it)"
	sevenBit  = "8-bit octets, but MAIL had BODY=7BIT (Config.Lenient8BitMIME allows it)"
	header8   = "8-bit octets in the header section, but MAIL had no SMTPUTF8 (Config.LenientSMTPUTF8 allows it)"
	pipelined = "sent before the last reply, but PIPELINING is not offered (Config.LenientPipelining allows it)"
	hastyData = "sent after DATA without waiting for its reply (Config.LenientData allows it)"
	hastyEHLO = "sent before the greeting (Config.LenientGreeting allows it)"
)

// Parts of the dialogues below.
var (
	lockstep = Config{Extensions: []string{"CHUNKING", "8BITMIME"}, Accounts: map[string]string{"user": "secret"}, Mechanisms: []string{"LOGIN", "DIGEST-MD5"}, TLS: NoTLS}
	hello    = []string{"< 220", "> EHLO x", "< 250"}
	toData   = []string{"> MAIL FROM:<a@b>", "< 250", "> RCPT TO:<c@d>", "< 250", "> DATA", "< 354"}
)

func after(start []string, lines ...string) []string {
	return append(append([]string{}, start...), lines...)
}

func offering(extensions ...string) Config {
	return Config{Extensions: append([]string{}, extensions...)}
}

var strictTests = map[string]strictTest{
	"before the greeting":            {Config{}, []string{"> EHLO x", "< 220", "< 554 sent before the greeting", "."}, hastyEHLO},
	"half a line before it":          {Config{}, []string{"+EH", "< 220", "> LO x", "< 554 sent before the greeting", "."}, hastyEHLO},
	"half a line before it, stopped": {Config{}, []string{"+EH", "< 220"}, ""},
	"before a greeting that refuses": {Config{Hook: hook(map[string]Answer{"CONNECT": {Reply: "421 no"}})},
		[]string{"> EHLO x", "< 421", "< 554 sent before", "."}, hastyEHLO},
	"no greeting ever": {Config{Hook: hook(map[string]Answer{"CONNECT": {}})}, []string{"> EHLO x", "< 554 sent before", "."}, hastyEHLO},

	"two commands in one write":   {lockstep, after(hello, "> MAIL FROM:<a@b>\r\nRCPT TO:<c@d>", "< 250", "< 503 sent before the last reply", "."), pipelined},
	"two commands in two writes":  {lockstep, after(hello, "> MAIL FROM:<a@b>", "> RCPT TO:<c@d>", "< 250", "< 503 sent before the last reply", "."), pipelined},
	"before EHLO was answered":    {Config{}, []string{"< 220", "> EHLO x\r\nMAIL FROM:<a@b>", "< 250", "< 503 5.5.1 sent before the last reply", "."}, pipelined},
	"after HELO":                  {Config{}, []string{"< 220", "> HELO x", "< 250", "> RSET", "> RSET", "< 250", "< 503 sent before", "."}, pipelined},
	"the start of a command":      {lockstep, after(hello, "> RSET\r\nRS", "< 250", "> ET", "< 503 sent before", "."), pipelined},
	"before a message's verdict":  {lockstep, after(hello, after(toData, "> x\r\n.\r\nQUIT", "< 250", "< 503 sent before", ".")...), pipelined},
	"QUIT in a write of its own":  {lockstep, after(hello, after(toData, "> x\r\n.", "> QUIT", "< 250", "< 503 sent before", ".")...), pipelined},
	"before a chunk's verdict":    {lockstep, after(hello, after(toData[:4], "> BDAT 3 LAST\r\nx", "> QUIT", "< 250", "< 503 sent before", ".")...), pipelined},
	"SASL responses":              {lockstep, after(hello, "> AUTH LOGIN", "> "+b64("user"), "< 334", "< 503 sent before", "."), pipelined},
	"a chunk in pieces":           {lockstep, after(hello, after(toData[:4], "> BDAT 6 LAST", "+ab", "+cdef", "< 250", "> QUIT", "< 221", ".")...), ""},
	"in lockstep":                 {lockstep, after(hello, after(toData, "> x", "> .", "< 250", "> RSET", "< 250", "> QUIT", "< 221", ".")...), ""},
	"a command in pieces":         {lockstep, after(hello, "+RS", "+ET", "> ", "< 250", "> QUIT", "< 221", "."), ""},
	"part of the reply was read":  {Config{}, []string{"< 220", "+EHLO x\r\n", "= 250-m", "> RSET", "< ail", "< 250-", "< 250 2.0.0 forgotten", "> QUIT", "< 221"}, ""},
	"the reply came with more":    {Config{TLS: NoTLS, Extensions: []string{}, Hook: hook(map[string]Answer{"NOOP": {Reply: "250 ok", Raw: []byte("250 more\r\n")}})}, after(hello, "> NOOP", "= 250 ok\r\n", "> RSET", "< 250 more", "< 250"), ""},
	"no reply to wait for":        {Config{TLS: NoTLS, Extensions: []string{}, Hook: hook(map[string]Answer{"NOOP": {}})}, after(hello, "> NOOP", "> RSET", "< 250", "> QUIT", "< 221", "."), ""},
	"a flight with PIPELINING":    {Config{}, after(hello, "> RSET", "> MAIL FROM:<a@b>\r\nRCPT TO:<c@d>", "> BDAT 3 LAST", "+x\r\n", "> QUIT", "< 250", "< 250", "< 250", "< 250", "< 221", "."), ""},
	"a flight that ends in DATA":  {Config{}, after(hello, "> MAIL FROM:<a@b>", "> RCPT TO:<c@d>\r\nDATA", "< 250", "< 250", "< 354", "> x\r\n.\r\nRSET", "< 250", "< 250"), ""},
	"PIPELINING by the hook":      {Config{Extensions: []string{}, Hook: hook(map[string]Answer{"EHLO": {Reply: "250-hi\n250 pipelining"}})}, after(hello, "> RSET\r\nRSET", "< 250", "< 250"), ""},
	"PIPELINING gone by the hook": {Config{Hook: hook(map[string]Answer{"EHLO": {Reply: "250 hi"}})}, after(hello, "> RSET\r\nRSET", "< 250", "< 503", "."), pipelined},

	"DATA and the message in one write":  {Config{}, after(hello, after(toData[:4], "> DATA\r\nx\r\n.", "< 354", "< 503 5.5.1 sent after DATA without waiting", ".")...), hastyData},
	"DATA and the message in two writes": {Config{}, after(hello, after(toData[:4], "> DATA", "> x\r\n.", "< 354", "< 503 5.5.1 sent after DATA", ".")...), hastyData},
	"a flight with the message":          {Config{}, after(hello, "> MAIL FROM:<a@b>", "> RCPT TO:<c@d>", "> DATA", "> x\r\n.", "< 250", "< 250", "< 354", "< 503 5.5.1 sent after DATA", "."), hastyData},
	"some replies of the flight read":    {Config{}, after(hello, "> MAIL FROM:<a@b>", "> RCPT TO:<c@d>", "> DATA", "< 250", "> x\r\n.", "< 250", "< 354", "< 503 5.5.1 sent after DATA", "."), hastyData},
	"a message though DATA is refused":   {Config{}, after(hello, "> DATA\r\nNOOP\r\n.", "< 503", "< 503 5.5.1 sent after DATA", "."), hastyData},
	"and PIPELINING is not offered":      {lockstep, after(hello, after(toData[:4], "> DATA\r\nx\r\n.", "< 354", "< 503 sent after DATA", ".")...), hastyData},
	"a dot after DATA was refused":       {Config{}, after(hello, "> DATA", "< 503", "> .", "< 500"), ""},

	"8 bits, nothing offered":          {offering("ENHANCEDSTATUSCODES"), after(hello, after(toData, "> A: b\r\n\r\nä\r\n.", "< 554 5.6.1 8-bit octets, but 8BITMIME is not offered", "> RSET", "< 250")...), early8},
	"8 bits after HELO":                {Config{}, after([]string{"< 220", "> HELO x", "< 250"}, after(toData, "> ä\r\n.", "< 554 8-bit octets")...), early8},
	"8 bits, BINARYMIME not used":      {offering("BINARYMIME"), after(hello, after(toData, "> ä\r\n.", "< 554 8-bit octets")...), early8},
	"8 bits in a chunk":                {offering("CHUNKING"), after(hello, after(toData[:4], "> BDAT 5\r\n\xe4\xff\x80", "< 554 8-bit octets", "> BDAT 0 LAST", "< 503")...), early8},
	"8 bits in the last chunk":         {offering("CHUNKING"), after(hello, after(toData[:4], "> BDAT 2\r\n", "< 250", "> BDAT 3 LAST\r\n\xff", "< 554 8-bit octets")...), early8},
	"8 bits under BODY=7BIT":           {Config{}, after(hello, after([]string{"> MAIL FROM:<a@b> body=7bit", "< 250"}, after(toData[2:], "> A: b\r\n\r\nä\r\n.", "< 554 5.6.1 8-bit octets, but MAIL had BODY=7BIT")...)...), sevenBit},
	"SMTPUTF8 under BODY=7BIT":         {Config{}, after(hello, after([]string{"> MAIL FROM:<a@b> BODY=7BIT SMTPUTF8", "< 250"}, after(toData[2:], "> A: ä\r\n\r\n\r\n.", "< 554 5.6.1")...)...), sevenBit},
	"8 bits under BODY=8BITMIME":       {Config{}, after(hello, after([]string{"> MAIL FROM:<a@b> BODY=8BITMIME", "< 250"}, after(toData[2:], "> ä\r\n.", "< 250")...)...), ""},
	"8 bits under BODY=BINARYMIME":     {offering("BINARYMIME", "CHUNKING"), after(hello, "> MAIL FROM:<a@b> BODY=BINARYMIME", "< 250", "> RCPT TO:<c@d>", "< 250", "> BDAT 3 LAST\r\n\xff", "< 250"), ""},
	"8 bits, 8BITMIME offered":         {offering("8bitmime"), after(hello, after(toData, "> A: b\r\n\r\nä\r\n.", "< 250")...), ""},
	"BODY=8BITMIME, SMTPUTF8 offered":  {offering("SMTPUTF8"), after(hello, "> MAIL FROM:<a@b> BODY=8BITMIME", "< 250", "> RSET", "< 250", "> MAIL FROM:<a@b> BODY=BINARYMIME", "< 555"), ""},
	"8 bits, SMTPUTF8 offered":         {offering("SMTPUTF8"), after(hello, after(toData, "> A: b\r\n\r\nä\r\n.", "< 250")...), ""},
	"8 bits, refused by the hook":      {Config{Extensions: []string{}, Hook: hook(map[string]Answer{"MESSAGE": {Reply: "550 no"}})}, after(hello, after(toData, "> ä\r\n.", "< 550 no")...), ""},
	"8 bits, accepted by the hook":     {Config{Extensions: []string{}, Hook: hook(map[string]Answer{"MESSAGE": {Reply: "250 ok"}})}, after(hello, after(toData, "> ä\r\n.", "< 250 ok")...), ""},
	"8 bits after a message with them": {offering("8BITMIME"), after(hello, after(toData, after([]string{"> A: b\r\n\r\nä\r\n.", "< 250", "> MAIL FROM:<a@b> BODY=7BIT", "< 250"}, after(toData[2:], "> A: b\r\n\r\nc\r\n.", "< 250")...)...)...), ""},

	"UTF-8 in a header field": {Config{}, after(hello, after(toData, "> A: ä\r\n\r\n.", "< 554 5.6.9 8-bit octets in the header section, but MAIL had no SMTPUTF8")...), header8},
	"UTF-8 in a chunk":        {Config{}, after(hello, after(toData[:4], "> BDAT 7 LAST\r\nA: ä", "< 554 5.6.9 8-bit octets in the header section")...), header8},
	"UTF-8 with SMTPUTF8":     {Config{}, after(hello, after([]string{"> MAIL FROM:<a@b> SMTPUTF8", "< 250"}, after(toData[2:], "> A: ä\r\n\r\n.", "< 250")...)...), ""},
}

// TestStrict has clients that break the protocol, and some that do not, over a pipe.
// Each write finds the server idle, as after a pause of the client; then the same with
// writes that follow each other at once.
func TestStrict(t *testing.T) {
	for name, tt := range strictTests {
		for _, pause := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, pause %v", name, pause), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := NewServer(&tt.config)
					defer s.Close()
					nc := s.Pipe()
					defer nc.Close()
					converse(&client{t: t, nc: nc, r: newReader(nc)}, pause, tt.lines)
					wantFault(t, s, tt.fault)
				})
			})
		}
	}
}

// converse is dialogue with two more lines: "+" writes and "=" reads so many octets and no more.
func converse(c *client, pause bool, lines []string) {
	c.t.Helper()
	for _, line := range lines {
		switch line[0] {
		case '+':
			c.raw(line[1:])
		case '=':
			c.some(line[2:])
		default:
			dialogue(c, line)
		}
		if pause {
			synctest.Wait() // the server waits for more
		}
	}
}

// some reads as many octets as want has, and no more.
func (c *client) some(want string) {
	c.t.Helper()
	got := make([]byte, len(want))
	for n := 0; n < len(got); {
		k, err := c.nc.Read(got[n:])
		if err != nil {
			c.t.Fatal(err)
		}
		n += k
	}
	if string(got) != want {
		c.t.Fatalf("read %q, want %q", got, want)
	}
}

// wantFault checks what the transcript says about the client.
func wantFault(t *testing.T, s *Server, want string) {
	t.Helper()
	var faults []string
	for _, line := range s.Transcript() {
		_, line, _ = strings.Cut(line, "] ")
		if text, ok := strings.CutPrefix(line, "-- protocol: "); ok {
			faults = append(faults, text)
		}
	}
	if got := strings.Join(faults, "\n"); got != want {
		t.Errorf("faults %q, want %q in\n%s", got, want, strings.Join(s.Transcript(), "\n"))
	}
}

// TestStrictClearText: a password in clear text is a mistake only if TLS is to be had.
func TestStrictClearText(t *testing.T) {
	accounts := map[string]string{"user": "secret"}
	plain := "> AUTH PLAIN " + b64("\x00user\x00secret")
	for name, tt := range map[string]struct {
		config Config
		line   string
		want   string
		fault  string
	}{
		"PLAIN":                       {Config{}, plain, "538 5.7.11 AUTH PLAIN in clear text, but STARTTLS is offered", "AUTH PLAIN in clear text, but STARTTLS is offered (Config.LenientClearText allows it)"},
		"PLAIN, later":                {Config{}, "> auth plain", "538", "AUTH PLAIN in clear text, but STARTTLS is offered (Config.LenientClearText allows it)"},
		"LOGIN":                       {Config{}, "> AUTH LOGIN", "538", "AUTH LOGIN in clear text, but STARTTLS is offered (Config.LenientClearText allows it)"},
		"DIGEST-MD5":                  {Config{}, "> AUTH DIGEST-MD5", "334", ""},
		"not listed":                  {Config{Mechanisms: []string{"DIGEST-MD5"}}, plain, "504", ""},
		"no STARTTLS":                 {Config{TLS: NoTLS}, plain, "235", ""},
		"STARTTLS hidden by the hook": {Config{Hook: hook(map[string]Answer{"EHLO": {Reply: "250-hi\n250 AUTH PLAIN"}})}, plain, "235", ""},
		"answered by the hook":        {Config{Hook: hook(map[string]Answer{"AUTH": {Reply: "235 hi"}})}, plain, "235", ""},
	} {
		t.Run(name, func(t *testing.T) {
			tt.config.Accounts = accounts
			s := newServer(t, &tt.config)
			dialogue(piped(t, s), tt.line, "< "+tt.want)
			wantFault(t, s, tt.fault)
		})
	}
	s := newServer(t, &Config{Accounts: accounts})
	c := piped(t, s)
	c.startTLS(s)
	dialogue(c, "> EHLO x", "< 250", plain, "< 235")
	wantFault(t, s, "")
}

// TestLenient has the clients of TestStrict at servers that allow what they do.
func TestLenient(t *testing.T) {
	for name, tt := range strictTests {
		if tt.fault == "" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			s := NewServer(lenient(tt.config))
			defer s.Close()
			nc := s.Pipe()
			go func() {
				for _, line := range tt.lines {
					switch line[0] {
					case '+':
						_, _ = nc.Write([]byte(line[1:]))
					case '>':
						_, _ = nc.Write([]byte(line[2:] + "\r\n"))
					}
				}
				_ = nc.(*memConn).CloseWrite()
			}()
			got := readAll(nc)
			wantFault(t, s, "")
			for _, code := range []string{"\n554 5.6", "\n554 8", "\n554 sent", "sent before", "sent after", "\n538"} {
				if strings.Contains(got, code) {
					t.Errorf("the server said:\n%s", got)
				}
			}
		})
	}
}

// readAll reads to the end, whatever that is.
func readAll(nc net.Conn) string {
	var all []byte
	buf := make([]byte, 1<<10)
	for {
		n, err := nc.Read(buf)
		if all = append(all, buf[:n]...); err != nil {
			return string(all)
		}
	}
}

// TestStrictTLS: under TLS the pipe's octets are not those of the commands.
func TestStrictTLS(t *testing.T) {
	for name, tt := range map[string]struct {
		config Config
		lines  []string
		fault  string
	}{
		"greeting":             {Config{TLS: ImplicitTLS}, []string{"> EHLO x", "< 220", "< 554", "."}, hastyEHLO},
		"greeting was read":    {Config{TLS: ImplicitTLS}, []string{"< 220", "> EHLO x", "< 250"}, ""},
		"EHLO after STARTTLS":  {Config{}, []string{"> EHLO x", "< 250"}, ""},
		"before EHLO":          {Config{}, []string{"> EHLO x", "> RSET", "< 250", "< 503", "."}, pipelined},
		"before EHLO, at once": {Config{}, []string{"> EHLO x\r\nRSET", "< 250", "< 503", "."}, pipelined},
		"lockstep":             {offering(), []string{"> EHLO x", "< 250", "> RSET", "> RSET", "< 250", "< 503", "."}, pipelined},
		"lockstep kept":        {offering(), []string{"> EHLO x", "< 250", "> RSET", "< 250", "> MAIL FROM:<a@b>", "< 250", "> RCPT TO:<c@d>", "< 250", "> DATA", "< 354", "> x", "> .", "< 250", "> QUIT", "< 221"}, ""},
		"DATA":                 {Config{}, []string{"> EHLO x", "< 250", "> MAIL FROM:<a@b>", "> RCPT TO:<c@d>", "> DATA", "> x", "< 250", "< 250", "< 354", "< 503", "."}, hastyData},
		"flight":               {Config{}, []string{"> EHLO x", "< 250", "> MAIL FROM:<a@b>", "> RCPT TO:<c@d>", "> BDAT 3 LAST", "+x\r\n", "< 250", "< 250", "< 250"}, ""},
		"long reply":           {Config{Hook: hook(map[string]Answer{"NOOP": {Reply: "250 " + strings.Repeat("x", 40000)}}), Extensions: []string{}}, []string{"> EHLO x", "< 250", "> NOOP", "< 250", "> RSET", "< 250"}, ""},
	} {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			t.Run(name+", "+tls.VersionName(version), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					tt.config.TLSConfig = &tls.Config{MaxVersion: version}
					s := NewServer(&tt.config)
					defer s.Close()
					nc := s.Pipe()
					defer nc.Close()
					c := &client{t: t, nc: nc, r: newReader(nc)}
					if tt.config.TLS == StartTLS {
						dialogue(c, "< 220", "> EHLO x", "< 250")
					}
					c.secure(s, nil)
					converse(c, true, tt.lines)
					wantFault(t, s, tt.fault)
				})
			})
		}
	}
}

// TestStrictSockets: over a socket the server cannot know what the client has read. It
// finds what came together with the command before, and nothing that is right.
func TestStrictSockets(t *testing.T) {
	for name, tt := range strictTests {
		together := strings.Contains(name, "one write") || tt.fault != "" && !strings.Contains(tt.fault, "sent ")
		if tt.fault != "" && !together || strings.Contains(name, "part") || strings.Contains(name, "more") {
			continue
		}
		t.Run(name, func(t *testing.T) {
			s := newServer(t, &tt.config)
			nc := dial(t, s)
			defer nc.Close()
			c := &client{t: t, nc: nc, r: newReader(nc)}
			for _, line := range tt.lines {
				if line[0] == '>' || line[0] == '+' {
					time.Sleep(time.Millisecond) // a segment of its own
				}
				converse(c, false, []string{line})
			}
			wantFault(t, s, tt.fault)
		})
	}
}

// TestStrictSocketGreeting: what is there when the server accepts came before its
// greeting, and what comes at once is found by its look.
func TestStrictSocketGreeting(t *testing.T) {
	s := newServer(t, nil)
	nc, err := net.Dial("tcp", s.listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	c := &client{t: t, nc: nc, r: newReader(nc)}
	c.raw("EHLO x\r\n")
	s.Addr()
	dialogue(c, "< 220", "< 554", ".")
	wantFault(t, s, hastyEHLO)
}
