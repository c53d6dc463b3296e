package submission_test

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/emersion/go-sasl"

	"github.com/fe022423/submission"
	"github.com/fe022423/submission/smtptest"
)

// javaMailProperties are the properties that docs/javamail.md must have a row
// for; mail.smtp. stands in front of those that do not begin with mail.
var javaMailProperties = []string{
	"host", "port", "user", "auth", "connectiontimeout", "timeout", "writetimeout", "from", "localhost",
	"localaddress", "localport", "ehlo", "auth.mechanisms", "auth.login.disable", "auth.plain.disable",
	"auth.digest-md5.disable", "auth.ntlm.disable", "auth.ntlm.domain", "auth.ntlm.flags", "submitter",
	"dsn.notify", "dsn.ret", "sendpartial", "sasl.enable", "sasl.mechanisms", "sasl.authorizationid",
	"sasl.realm", "quitwait", "reportsuccess", "socketFactory", "socketFactory.class", "socketFactory.port",
	"socketFactory.fallback", "ssl.enable", "ssl.checkserveridentity", "ssl.trust", "ssl.socketFactory",
	"ssl.socketFactory.class", "ssl.socketFactory.port", "ssl.protocols", "ssl.ciphersuites",
	"starttls.enable", "starttls.required", "socks.host", "socks.port", "proxy.host", "proxy.port",
	"proxy.user", "proxy.password", "mailextension", "userset", "noop.strict", "chunksize",
	"auth.xoauth2", "mail.mime.allowutf8",
}

// javaMailClasses are the classes and methods that it must have a row for.
var javaMailClasses = []string{
	"SMTPTransport.connect", "SMTPTransport.sendMessage", "SMTPTransport.close", "SMTPTransport.isConnected",
	"SMTPTransport.getLastServerResponse", "SMTPTransport.getLastReturnCode", "SMTPTransport.supportsExtension",
	"SMTPTransport.getExtensionParameter", "SMTPTransport.issueCommand", "SMTPTransport.simpleCommand",
	"SMTPTransport.connect(Socket)", "TransportListener", "ConnectionListener", "SMTPSSLTransport",
	"SMTPMessage.setEnvelopeFrom", "SMTPMessage.setNotifyOptions", "SMTPMessage.setReturnOption",
	"SMTPMessage.setAllow8bitMIME", "SMTPMessage.setSendPartial", "SMTPMessage.setSubmitter",
	"SMTPMessage.setMailExtension", "SMTPAddressFailedException", "SMTPAddressSucceededException",
	"SMTPSenderFailedException", "SMTPSendFailedException", "SMTPSendFailedException.getValidSentAddresses",
	"SMTPSendFailedException.getValidUnsentAddresses", "SMTPSendFailedException.getInvalidAddresses",
	"AuthenticationFailedException", "MailConnectException", "Authenticator",
}

var (
	quoted   = regexp.MustCompile("`([^`]+)`")
	testName = regexp.MustCompile("`(Test[A-Za-z0-9_]*|Example[A-Za-z0-9_]*)`")
)

// testFunctions are the names of the Test and Example functions beside this one.
func testFunctions(t *testing.T) map[string]bool {
	t.Helper()
	files, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	names := make(map[string]bool)
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil {
				names[f.Name.Name] = true
			}
		}
	}
	return names
}

// checkProof checks that proof, the last cell of a row or the whole of an item,
// names a test, and that all the tests and examples that line names are there.
func checkProof(t *testing.T, functions map[string]bool, line, proof string) {
	t.Helper()
	if !strings.Contains(proof, "`Test") {
		t.Errorf("no test is named: %s", line)
	}
	for _, m := range testName.FindAllStringSubmatch(line, -1) {
		if !functions[m[1]] {
			t.Errorf("there is no %s: %s", m[1], line)
		}
	}
}

// TestJavaMailTable holds docs/javamail.md against the lists above and against
// the tests that it names.
func TestJavaMailTable(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("docs", "javamail.md"))
	if err != nil {
		t.Fatal(err)
	}
	functions := testFunctions(t)
	rows := make(map[string][]string) // by section, what their first cells name
	items := 0
	section, header := "", false
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "## "):
			section, header = line[3:], true
		case strings.HasPrefix(line, "|---"), strings.HasPrefix(line, "|") && header:
			header = false
		case strings.HasPrefix(line, "|"):
			cells := strings.Split(strings.Trim(line, "|"), "|")
			if len(cells) != 4 {
				t.Errorf("%d cells: %s", len(cells), line)
				continue
			}
			for _, m := range quoted.FindAllStringSubmatch(cells[0], -1) {
				rows[section] = append(rows[section], m[1])
			}
			checkProof(t, functions, line, cells[3])
		case strings.HasPrefix(line, "- ") && section == "Defects not rebuilt":
			items++
			checkProof(t, functions, line, line)
		}
	}
	for section, names := range map[string][]string{"Properties": javaMailProperties, "Classes": javaMailClasses} {
		for _, name := range names {
			if !slices.Contains(rows[section], name) {
				t.Errorf("%s: no row for %s", section, name)
			}
		}
	}
	if items < 18 {
		t.Errorf("%d defects are listed", items)
	}
}

// freePort is a port of ip that was free a moment ago.
func freePort(t *testing.T, ip string) string {
	t.Helper()
	l, err := net.Listen("tcp", ip+":0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// The port of LocalAddr is the one the server sees.
func TestLocalPort(t *testing.T) {
	var mu sync.Mutex
	from := ""
	addr := listen(t, func(nc net.Conn) {
		mu.Lock()
		from = nc.RemoteAddr().String()
		mu.Unlock()
		io.WriteString(nc, "554 no\r\n")
		io.Copy(io.Discard, nc)
	})
	for range 5 { // somebody else may take the port first
		local := "127.0.0.1:" + freePort(t, "127.0.0.1")
		c, err := submission.New(addr, plainText(func(o *submission.Options) { o.LocalAddr, o.Timeouts.Quit = local, time.Millisecond }))
		if err != nil {
			t.Fatal(err)
		}
		err = c.Ping(context.Background())
		c.Close()
		if errors.Is(err, errnoInUse) {
			continue
		}
		if e := wantError[*submission.ConnectError](t, err); e.Stage != submission.StageGreeting {
			t.Fatal(err)
		}
		mu.Lock()
		defer mu.Unlock()
		if from != local {
			t.Errorf("connected from %s, want %s", from, local)
		}
		return
	}
	t.Fatal("no port stays free")
}

// Behind a proxy the forward dialer has the local address.
func TestLocalAddrThroughProxy(t *testing.T) {
	ip := net.IPv4(127, 0, 0, 2) // not everywhere an address of this machine
	if l, err := net.Listen("tcp", ip.String()+":0"); err != nil {
		ip = net.IPv4(127, 0, 0, 1)
	} else {
		l.Close()
	}
	forward := &net.Dialer{LocalAddr: &net.TCPAddr{IP: ip}}
	var mu sync.Mutex
	var from []string
	noting := func(serve func(net.Conn)) func(net.Conn) {
		return func(nc net.Conn) {
			host, _, _ := net.SplitHostPort(nc.RemoteAddr().String())
			mu.Lock()
			from = append(from, host)
			mu.Unlock()
			serve(nc)
		}
	}
	socks, err := submission.SOCKS5(listen(t, noting((&socksProxy{server: coalesced}).serve)), nil, forward)
	if err != nil {
		t.Fatal(err)
	}
	srv := serve(t, &smtptest.Config{TLS: smtptest.NoTLS})
	proxy := &connectProxy{srv: srv}
	connect, err := submission.HTTPConnect(&url.URL{Scheme: "http", Host: listen(t, noting(proxy.serve))}, forward)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range []submission.Dialer{socks, connect} {
		if err := viaProxy(t, d, "mail.test.example:25"); err != nil {
			t.Fatal(err)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if want := []string{ip.String(), ip.String()}; !slices.Equal(from, want) {
		t.Errorf("the proxies were reached from %q, want %q", from, want)
	}
}

// A Dialer hears where to connect and may go to another port; TLS, with the
// name that was asked for, is put on top of what it returns.
func TestDialerChoosesPort(t *testing.T) {
	srv := serve(t, nil)
	asked := ""
	o := &submission.Options{TLSConfig: srv.ClientTLSConfig(), LocalName: "client.test.example"}
	o.Dialer = dialFunc(func(ctx context.Context, network, addr string) (net.Conn, error) {
		asked = network + " " + addr
		return new(net.Dialer).DialContext(ctx, network, srv.Addr())
	})
	c, err := submission.New(testHost, o)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Ping(context.Background()); err != nil {
		t.Fatal(err)
	}
	if asked != "tcp "+testHost+":587" {
		t.Errorf("asked for %s", asked)
	}
	wantCommands(t, srv, ehlo, "STARTTLS", "-- TLS", ehlo, "QUIT")
}

// The cipher suites of TLSConfig are those of the handshake.
func TestCipherSuites(t *testing.T) {
	const one, other = tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384
	for _, mode := range []submission.TLSMode{submission.TLSImplicit, submission.TLSStartTLS} {
		for server, ok := range map[uint16]bool{0: true, one: true, other: false} {
			t.Run(fmt.Sprintf("%v, server %x", mode, server), func(t *testing.T) {
				c := &smtptest.Config{TLSConfig: &tls.Config{MaxVersion: tls.VersionTLS12}}
				if server != 0 {
					c.TLSConfig.CipherSuites = []uint16{server}
				}
				if mode == submission.TLSImplicit {
					c.TLS = smtptest.ImplicitTLS
				}
				srv := serve(t, c)
				o := plainText(withTLS(mode))
				o.TLSConfig = srv.ClientTLSConfig()
				o.TLSConfig.CipherSuites = []uint16{one}
				s, err := submission.NewSession(context.Background(), srv.Pipe(), testHost, o)
				if !ok {
					wantError[*submission.TLSError](t, err)
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				defer s.Close()
				if st, _ := s.TLS(); st.CipherSuite != one {
					t.Errorf("suite %s", tls.CipherSuiteName(st.CipherSuite))
				}
			})
		}
	}
}

// ntlmField is a string of an NTLM message, whose length and place stand at at.
func ntlmField(message []byte, at int) string {
	length, offset := int(binary.LittleEndian.Uint16(message[at:])), int(binary.LittleEndian.Uint32(message[at+4:]))
	units := make([]uint16, length/2)
	for i := range units {
		units[i] = binary.LittleEndian.Uint16(message[offset+2*i:])
	}
	return string(utf16.Decode(units))
}

// ntlmServer is a fake server with NTLM and a record of the client's messages.
func ntlmServer(t *testing.T) (*smtptest.Server, *[][]byte) {
	t.Helper()
	messages := new([][]byte)
	srv := serve(t, &smtptest.Config{
		TLS: smtptest.NoTLS, Mechanisms: []string{"NTLM"}, Accounts: map[string]string{`CORP\user`: "secret"},
		Hook: func(c smtptest.Command) *smtptest.Answer {
			text := c.Line
			if c.Verb == "AUTH" {
				text = strings.TrimPrefix(c.Line, "AUTH NTLM ")
			}
			if b, err := base64.StdEncoding.DecodeString(text); err == nil && (c.Verb == "AUTH" || c.Verb == "RESPONSE") {
				*messages = append(*messages, b)
			}
			return nil
		},
	})
	return srv, messages
}

// The domain reaches the server, by either way of giving it, beside the bare
// user name and a response of version 2, which is longer than 24 octets.
func TestNTLMDomain(t *testing.T) {
	for name, p := range map[string]submission.Password{
		"Domain":      {Username: "user", Password: "secret", Domain: "CORP"},
		"in the name": {Username: `CORP\user`, Password: "secret"},
	} {
		t.Run(name, func(t *testing.T) {
			srv, messages := ntlmServer(t)
			openSession(t, srv.Pipe(), plainText(withAuth(p))).Close()
			if len(*messages) != 2 {
				t.Fatalf("%d messages", len(*messages))
			}
			last := (*messages)[1]
			if domain, user := ntlmField(last, 28), ntlmField(last, 36); domain != "CORP" || user != "user" {
				t.Errorf(`%s\%s`, domain, user)
			}
			if n := binary.LittleEndian.Uint16(last[20:]); n <= 24 {
				t.Errorf("a response of %d octets", n)
			}
		})
	}
}

// ntlmFlags is an NTLM client that asks for further flags (MS-NLMP, 2.2.2.5)
// in its first message, where they stand at octet 12.
type ntlmFlags struct {
	sasl.Client
	flags uint32
}

func (c ntlmFlags) Start() (string, []byte, error) {
	name, negotiate, err := c.Client.Start()
	if err != nil || len(negotiate) < 16 {
		return name, negotiate, err
	}
	at := negotiate[12:16]
	binary.LittleEndian.PutUint32(at, binary.LittleEndian.Uint32(at)|c.flags)
	return name, negotiate, nil
}

// withNTLMFlags is an Auth with p's NTLM and further flags.
func withNTLMFlags(p submission.Password, flags uint32) submission.Auth {
	p.Mechanisms = []string{"NTLM"}
	return submission.AuthFunc(func(ctx context.Context, s submission.ServerInfo) (sasl.Client, error) {
		client, err := p.Mechanism(ctx, s)
		if err != nil {
			return nil, err
		}
		return ntlmFlags{client, flags}, nil
	})
}

func TestNTLMFlags(t *testing.T) {
	const targetRequired = 0x00000004
	p := submission.Password{Username: "user", Password: "secret", Domain: "CORP"}
	var said [2]uint32
	for i, flags := range []uint32{0, targetRequired | 1<<29} {
		srv, messages := ntlmServer(t)
		openSession(t, srv.Pipe(), plainText(withAuth(withNTLMFlags(p, flags)))).Close()
		if len(*messages) != 2 {
			t.Fatalf("%d messages", len(*messages))
		}
		said[i] = binary.LittleEndian.Uint32((*messages)[0][12:])
	}
	if want := said[0] | targetRequired | 1<<29; said[1] != want {
		t.Errorf("flags %08x, want %08x", said[1], want)
	}
}

// Flags of one's own are a sasl.Client around that of Password, which changes
// the first message.
func ExampleAuthFunc_ntlmFlags() {
	srv := smtptest.NewServer(&smtptest.Config{
		TLS: smtptest.NoTLS, Mechanisms: []string{"NTLM"}, Accounts: map[string]string{"user": "secret"}})
	defer srv.Close()
	password := submission.Password{Username: "user", Password: "secret", Domain: "CORP", Mechanisms: []string{"NTLM"}}
	client, err := submission.New(srv.Addr(), &submission.Options{
		TLS: submission.TLSNone,
		Auth: submission.AuthFunc(func(ctx context.Context, s submission.ServerInfo) (sasl.Client, error) {
			ntlm, err := password.Mechanism(ctx, s)
			if err != nil {
				return nil, err
			}
			return ntlmFlags{ntlm, 1 << 29}, nil
		}),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	fmt.Println(client.Ping(context.Background()))
	// Output: <nil>
}

// The charset of DIGEST-MD5 has no quotes, and what is quoted is escaped
// (RFC 2831, 2.1.2).
func TestDigestForm(t *testing.T) {
	said := ""
	srv := serve(t, &smtptest.Config{TLS: smtptest.NoTLS, Mechanisms: []string{"DIGEST-MD5"}, Accounts: map[string]string{`a"b\c`: "secret"},
		Hook: func(c smtptest.Command) *smtptest.Answer {
			if b, err := base64.StdEncoding.DecodeString(c.Line); c.Verb == "RESPONSE" && said == "" && err == nil {
				said = string(b)
			}
			return nil
		}})
	openSession(t, srv.Pipe(), plainText(withAuth(submission.Password{Username: `a"b\c`, Password: "secret"}))).Close()
	for _, want := range []string{`username="a\"b\\c"`, "charset=utf-8"} {
		if !strings.Contains(said, want) {
			t.Errorf("%s is missing in %s", want, said)
		}
	}
}

// The classes of replies to RCPT that the mixes leave out, and what a report of
// success consists of: each recipient with its reply, beside a nil error.
func TestRecipientCodes(t *testing.T) {
	statuses := map[int]submission.RecipientStatus{
		200: submission.RecipientSent, 250: submission.RecipientSent, 251: submission.RecipientSent, 252: submission.RecipientSent, 259: submission.RecipientSent,
		450: submission.RecipientUnsent, 451: submission.RecipientUnsent, 452: submission.RecipientUnsent, 455: submission.RecipientUnsent, 552: submission.RecipientUnsent,
		501: submission.RecipientInvalid, 503: submission.RecipientInvalid, 550: submission.RecipientInvalid, 551: submission.RecipientInvalid, 553: submission.RecipientInvalid, 555: submission.RecipientInvalid,
	}
	for code, want := range statuses {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			script := greeted() + "C: MAIL FROM:<a@test.example>\nS: 250 ok\nC: RCPT TO:<b@test.example>\nS: " + fmt.Sprint(code) + " so\n"
			if want == submission.RecipientSent {
				script += "C: DATA\nS: 354 go\n" + memoData + "S: 250 taken as 7\n"
			}
			s := openSession(t, smtptest.Play(t, script+"C: QUIT\nS: 221 bye\neof"), plainText())
			defer s.Close()
			res, err := send(s, memoTo("b@test.example"))
			var recipients []submission.RecipientResult
			if want == submission.RecipientSent {
				if err != nil || res.Reply.String() != "250 taken as 7" {
					t.Fatalf("%v, %v", res, err)
				}
				recipients = res.Recipients
			} else {
				recipients = wantError[*submission.SendError](t, err).Recipients
			}
			if len(recipients) != 1 {
				t.Fatalf("%v", recipients)
			}
			if r := recipients[0]; r.Addr != "b@test.example" || r.Status != want || r.Reply.Code != code {
				t.Errorf("%v, want %v", r, want)
			}
		})
	}
}

// The life of a session of the caller's own: what SMTPTransport does by
// connect, isConnected, sendMessage, supportsExtension, simpleCommand, close.
func TestTransportCalls(t *testing.T) {
	c := scriptedClient(t, nil, greeted("SIZE 1000", "DSN")+
		"C: NOOP\nS: 250 ok\nC: MAIL FROM:<a@test.example> SIZE=23\nS: 250 ok\nC: RCPT TO:<b@test.example>\nS: 250 ok\n"+
		"C: DATA\nS: 354 go\n"+memoData+"S: 250 2.0.0 queued\nC: EXPN list\nS: 550 no such list\nC: QUIT\nS: 221 bye\neof")
	ctx := context.Background()
	s, err := c.Dial(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Noop(ctx); err != nil || !s.Usable() {
		t.Errorf("after connecting: %v", err)
	}
	if p, ok := s.Extensions().Param("size"); !ok || p != "1000" || !s.Extensions().Has("DSN") || s.Extensions().Has("CHUNKING") {
		t.Errorf("extensions %v", s.Extensions())
	}
	if res := mustSend(t, s, memoTo("b@test.example")); res.Reply.Code != 250 || res.Reply.String() != "250 2.0.0 queued" {
		t.Errorf("%v", res.Reply)
	}
	if r, err := s.Command(ctx, "EXPN list"); err != nil || r.Code != 550 || !s.Usable() {
		t.Errorf("%v, %v", r, err)
	}
	if err := s.Close(); err != nil || s.Usable() {
		t.Errorf("after Close: %v", err)
	}
}

// What listeners are told in JavaMail, Trace tells.
func TestTraceEvents(t *testing.T) {
	var events []string
	note := func(format string, args ...any) { events = append(events, fmt.Sprintf(format, args...)) }
	c := scriptedClient(t, func(o *submission.Options) {
		o.Trace = &submission.Trace{
			Connected:   func(network, addr string, reused bool) { note("connected %s %s %v", network, addr, reused) },
			Sent:        func(line string) { note("C: %s", line) },
			Received:    func(r submission.Reply) { note("S: %v", r) },
			MessageSent: func(octets int64, _ time.Duration) { note("%d octets", octets) },
			Closed:      func(err error) { note("closed %v", err) },
		}
	}, poolGreeting+poolMessage+poolQuit)
	if err := poolSend(c); err != nil {
		t.Fatal(err)
	}
	c.Close()
	want := []string{
		"connected pipe mail.test.example:25 false", "S: 220 mail.test.example",
		"C: EHLO client.test.example", "S: 250 mail.test.example; PIPELINING",
		"C: MAIL FROM:<a@test.example>", "C: RCPT TO:<b@test.example>", "C: DATA", "S: 250 ok", "S: 250 ok", "S: 354 go",
		"23 octets", "S: 250 taken", "C: QUIT", "S: 221 bye", "closed <nil>",
	}
	if !slices.Equal(events, want) {
		t.Errorf("got %q\nwant %q", events, want)
	}
}

// Auth is asked anew for each session, within the context of the call.
func TestAuthPerSession(t *testing.T) {
	type key struct{}
	srv := serve(t, &smtptest.Config{TLS: smtptest.NoTLS, Mechanisms: []string{"PLAIN"}, Accounts: map[string]string{"one": "secret", "two": "secret"}})
	c, err := submission.New(srv.Addr(), plainText(withAuth(submission.AuthFunc(func(ctx context.Context, _ submission.ServerInfo) (sasl.Client, error) {
		user, _ := ctx.Value(key{}).(string)
		return sasl.NewPlainClient("", user, "secret"), nil
	}))))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, user := range []string{"one", "two"} {
		s, err := c.Dial(context.WithValue(context.Background(), key{}, user))
		if err != nil {
			t.Fatal(err)
		}
		mustSend(t, s, memoTo("b@test.example"))
		s.Close()
		if m := srv.Messages(); m[len(m)-1].Auth != user {
			t.Errorf("authenticated as %s, want %s", m[len(m)-1].Auth, user)
		}
	}
}
