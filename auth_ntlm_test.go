package submission_test

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/emersion/go-sasl"

	"github.com/fe022423/submission"
	"github.com/fe022423/submission/smtptest"
)

// ntlmServer is a fake server with NTLM. It returns the messages that the client sends, too.
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

// ntlmField is a string in an NTLM message. Its length and its offset are at at.
func ntlmField(message []byte, at int) string {
	length, offset := int(binary.LittleEndian.Uint16(message[at:])), int(binary.LittleEndian.Uint32(message[at+4:]))
	units := make([]uint16, length/2)
	for i := range units {
		units[i] = binary.LittleEndian.Uint16(message[offset+2*i:])
	}
	return string(utf16.Decode(units))
}

// The domain may be given in two ways. Either way the server gets it, the user name without
// it, and a response of version 2, which is longer than 24 octets.
func TestNTLMDomain(t *testing.T) {
	for name, p := range map[string]submission.Password{
		"Domain":      {Username: "user", Password: "secret", Domain: "CORP"},
		"in the name": {Username: `CORP\user`, Password: "secret"},
	} {
		t.Run(name, func(t *testing.T) {
			srv, messages := ntlmServer(t)
			openSession(t, srv.Pipe(), plainText(withAuth(p))).Close()
			if len(*messages) != 2 {
				t.Fatalf("the client sent %d messages, want 2", len(*messages))
			}
			last := (*messages)[1]
			if domain, user := ntlmField(last, 28), ntlmField(last, 36); domain != "CORP" || user != "user" {
				t.Errorf(`domain and user are %s\%s`, domain, user)
			}
			if n := binary.LittleEndian.Uint16(last[20:]); n <= 24 {
				t.Errorf("the response has %d octets, want more than 24", n)
			}
		})
	}
}

// ntlmFlags is an NTLM client that sets further flags (MS-NLMP, 2.2.2.5) in its first message,
// at octet 12.
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

// withNTLMFlags is an Auth with the NTLM client of p and further flags.
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

// The flags of a client of one's own reach the server.
func TestNTLMFlags(t *testing.T) {
	const targetRequired = 0x00000004
	p := submission.Password{Username: "user", Password: "secret", Domain: "CORP"}
	var said [2]uint32
	for i, flags := range []uint32{0, targetRequired | 1<<29} {
		srv, messages := ntlmServer(t)
		openSession(t, srv.Pipe(), plainText(withAuth(withNTLMFlags(p, flags)))).Close()
		if len(*messages) != 2 {
			t.Fatalf("the client sent %d messages, want 2", len(*messages))
		}
		said[i] = binary.LittleEndian.Uint32((*messages)[0][12:])
	}
	if want := said[0] | targetRequired | 1<<29; said[1] != want {
		t.Errorf("flags %08x, want %08x", said[1], want)
	}
}

// To set NTLM flags, wrap the sasl.Client of Password and change the first message.
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

// A server whose challenge has no target information gets "*", and nothing else: its
// kind knows only version 1, and would take the response for a wrong password.
func TestNTLMVersion1IsNotAnswered(t *testing.T) {
	challenge := "NTLMSSP\x00\x02\x00\x00\x00" + "\x00\x00\x00\x00\x28\x00\x00\x00" + "\x01\x82\x00\x00" + "\x01\x23\x45\x67\x89\xab\xcd\xef" + strings.Repeat("\x00", 16)
	var said []string
	srv := serve(t, &smtptest.Config{TLS: smtptest.NoTLS, Mechanisms: []string{"NTLM", "PLAIN"}, Accounts: map[string]string{"username": "password"},
		Hook: func(c smtptest.Command) *smtptest.Answer {
			switch c.Verb {
			case "AUTH":
				said = append(said, c.Line[:len("AUTH NTLM")])
				return &smtptest.Answer{Reply: "334 " + b64(challenge)}
			case "RESPONSE":
				said = append(said, c.Line)
				return &smtptest.Answer{Reply: "501 cancelled"}
			}
			return nil
		}})
	_, err := submission.NewSession(context.Background(), srv.Pipe(), testHost, plainText(withAuthInClear(password(mechanisms("NTLM", "PLAIN")))))
	srv.Close()
	e := wantError[*submission.AuthError](t, err)
	if !strings.Contains(err.Error(), "the server knows only NTLM version 1") || e.Reply != nil || e.Temporary() {
		t.Errorf("%v", err)
	}
	if !slices.Equal(said, []string{"AUTH NTLM", "*"}) {
		t.Errorf("said %q", said)
	}
}
