package submission_test

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/emersion/go-sasl"

	"github.com/fe022423/submission"
	"github.com/fe022423/submission/smtptest"
)

// provingSASL is a scriptedSASL that wants a proof of the server, too.
type provingSASL struct {
	scriptedSASL
	proof error
}

func (c *provingSASL) Complete() error { return c.proof }

// An AUTH exchange with a sasl.Client that the package does not know.
func TestOwnMechanism(t *testing.T) {
	tests := []struct {
		name   string
		client *scriptedSASL
		script string
		saw    []string
	}{
		{name: "no initial response", client: &scriptedSASL{name: "X-OWN", responses: [][]byte{[]byte("one"), []byte("two")}},
			script: "C: AUTH X-OWN\nS: 334 " + b64("first") + "\nC: " + b64("one") + "\nS: 334 " + b64("second") + "\nC: " + b64("two") + "\n",
			saw:    []string{"first", "second"}},
		{name: "empty initial response", client: &scriptedSASL{name: "X-OWN", initial: []byte{}}, script: "C: AUTH X-OWN =\n"},
		{name: "initial response", client: &scriptedSASL{name: "X-OWN", initial: []byte{0, 0xff}}, script: "C: AUTH X-OWN AP8=\n"},
		{name: "empty responses", client: &scriptedSASL{name: "X-OWN", responses: [][]byte{{}, nil}},
			script: "C: AUTH X-OWN\nS: 334\nC: \nS: 334 \nC: \n", saw: []string{"", ""}},
		{name: "lower case", client: &scriptedSASL{name: "x-own", initial: []byte("a")}, script: "C: AUTH X-OWN YQ==\n"},
		{name: "16 rounds", client: &scriptedSASL{name: "X-OWN", responses: make([][]byte, 16)},
			script: "C: AUTH X-OWN\n" + strings.Repeat("S: 334\nC: \n", 16), saw: make([]string, 16)},
		{name: "a response longer than any command", client: &scriptedSASL{name: "X-OWN", responses: [][]byte{make([]byte, 9000)}},
			script: "C: AUTH X-OWN\nS: 334\nC: " + b64(string(make([]byte, 9000))) + "\n", saw: []string{""}},
		{name: "an initial response longer than the line", client: &scriptedSASL{name: "X-OWN", initial: make([]byte, 3000), responses: [][]byte{[]byte("more")}},
			script: "C: AUTH X-OWN\nS: 334 \nC: " + b64(string(make([]byte, 3000))) + "\nS: 334 " + b64("x") + "\nC: " + b64("more") + "\n", saw: []string{"x"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			eachDelivery(t, func(t *testing.T, delivery string) {
				client := *tt.client
				s := openSession(t, play(t, delivery, offersAuth("PLAIN X-OWN")+tt.script+authOK+quit), plainText(withAuth(authWith(&client))))
				s.Close()
				if !slices.Equal(client.challenges, tt.saw) {
					t.Errorf("the client got the challenges %q, want %q", client.challenges, tt.saw)
				}
			})
		})
	}
}

// Such exchanges that fail.
func TestOwnMechanismFails(t *testing.T) {
	errOwn := errors.New("not like this")
	offers := offersAuth("PLAIN X-OWN")
	tests := []authRefusal{
		{name: "no mechanism", script: offers + quit, is: errOwn,
			auth: submission.AuthFunc(func(context.Context, submission.ServerInfo) (sasl.Client, error) { return nil, errOwn })},
		{name: "no client", script: offers + quit, auth: authWith(nil)},
		{name: "does not start", mechanism: "X-OWN", script: offers + quit, is: errOwn, auth: authWith(&scriptedSASL{name: "X-OWN", startErr: errOwn})},
		{name: "does not answer", mechanism: "X-OWN", script: offers + "C: AUTH X-OWN\nS: 334\nC: *\nS: 501 cancelled" + quit, is: errOwn,
			auth: authWith(&scriptedSASL{name: "X-OWN", nextErr: errOwn})},
		{name: "not one more response", mechanism: "X-OWN", script: offers + "C: AUTH X-OWN\n" + strings.Repeat("S: 334\nC: \n", 16) + "S: 334\nC: *\nS: 501 cancelled" + quit,
			auth: authWith(&scriptedSASL{name: "X-OWN", responses: make([][]byte, 100)})},
		{name: "no name", script: offers + quit, auth: authWith(&scriptedSASL{})},
		{name: "a space in the name", script: offers + quit, auth: authWith(&scriptedSASL{name: "X OWN"})},
		{name: "CR LF in the name", script: offers + quit, auth: authWith(&scriptedSASL{name: "X\r\nRSET"})},
		{name: "a long name", script: offers + quit, auth: authWith(&scriptedSASL{name: strings.Repeat("X", 21)})},
		{name: "a name that is not ASCII", script: offers + quit, auth: authWith(&scriptedSASL{name: "ÄH"})},
		{name: "not offered, 504", mechanism: "X-NEW", script: offers + "C: AUTH X-NEW\nS: 504 what" + quit, code: 504, auth: authWith(&scriptedSASL{name: "X-NEW"})},
		{name: "504, the same again", mechanism: "X-OWN", script: offers + "C: AUTH X-OWN\nS: 504 what\nC: AUTH X-OWN\nS: 504 still not" + quit, code: 504, auth: authWith(&scriptedSASL{name: "X-OWN"})},
		{name: "235 before its proof", mechanism: "X-OWN", script: offers + "C: AUTH X-OWN\nS: 235 welcome\neof", is: submission.ErrServerProof,
			auth: authWith(&provingSASL{scriptedSASL: scriptedSASL{name: "X-OWN"}, proof: errOwn})},
		{name: "235 before its proof, whose error is told", mechanism: "X-OWN", script: offers + "C: AUTH X-OWN\nS: 235 welcome\neof", is: errOwn,
			auth: authWith(&provingSASL{scriptedSASL: scriptedSASL{name: "X-OWN"}, proof: errOwn})},
		{name: "535 before its proof", mechanism: "X-OWN", script: offers + "C: AUTH X-OWN\nS: 535 no" + quit, code: 535, isNot: submission.ErrServerProof,
			auth: authWith(&provingSASL{scriptedSASL: scriptedSASL{name: "X-OWN"}, proof: errOwn})},
	}
	for _, r := range tests {
		r.run(t)
	}
	t.Run("proved", func(t *testing.T) {
		s := openSession(t, play(t, "whole", offers+"C: AUTH X-OWN\n"+authOK+quit),
			plainText(withAuth(authWith(&provingSASL{scriptedSASL: scriptedSASL{name: "X-OWN"}}))))
		s.Close()
	})
}

// What an Auth is told about the server.
func TestServerInfo(t *testing.T) {
	type want struct {
		host    string
		port    int
		mechs   []string
		tls     bool
		mayShow bool
	}
	check := func(t *testing.T, got submission.ServerInfo, w want) {
		t.Helper()
		if got.Host != w.host || got.Port != w.port || !slices.Equal(got.Mechanisms, w.mechs) || (got.TLS != nil) != w.tls || got.MayShow() != w.mayShow {
			t.Errorf("%+v, MayShow %v; want %+v", got, got.MayShow(), w)
		}
		if got.TLS != nil && !got.TLS.HandshakeComplete {
			t.Error("ServerInfo.TLS is the state of no handshake")
		}
	}
	var got []submission.ServerInfo
	auth := submission.AuthFunc(func(_ context.Context, s submission.ServerInfo) (sasl.Client, error) {
		got = append(got, s)
		s.Mechanisms = slices.Clone(s.Mechanisms)
		if len(s.Mechanisms) == 0 {
			return nil, errors.New("nothing left")
		}
		return &scriptedSASL{name: s.Mechanisms[0]}, nil
	})
	offers := "S: 220 hi\nC: EHLO client.test.example\nS: 250-mail\nS: 250 auth x-one X-Two x-one\n"
	refused := "C: AUTH X-ONE\nS: 504 no\nC: AUTH X-TWO\nS: 534 no" + quit

	t.Run("over a pipe", func(t *testing.T) {
		got = nil
		_, err := submission.NewSession(context.Background(), play(t, "whole", offers+refused), testHost, plainText(withAuthInClear(auth)))
		if e := wantError[*submission.AuthError](t, err); e.Mechanism != "X-TWO" || e.Reply == nil || e.Reply.Code != 534 {
			t.Errorf("%v", err)
		}
		if len(got) != 3 {
			t.Fatalf("Auth was asked %d times, want 3", len(got))
		}
		check(t, got[0], want{testHost, 0, []string{"X-ONE", "X-TWO"}, false, true})
		check(t, got[1], want{testHost, 0, []string{"X-TWO"}, false, true})
		check(t, got[2], want{testHost, 0, nil, false, true})
	})
	t.Run("from away", func(t *testing.T) {
		got = nil
		s := openSession(t, away(play(t, "whole", offers+"C: AUTH X-ONE\n"+authOK+quit)), plainText(withAuth(auth)))
		s.Close()
		check(t, got[0], want{testHost, 587, []string{"X-ONE", "X-TWO"}, false, false})
	})
	t.Run("dialed under TLS", func(t *testing.T) {
		got = nil
		srv := serve(t, &smtptest.Config{TLS: smtptest.ImplicitTLS, Hostname: "xn--e1aybc.example",
			Accounts: map[string]string{"u": "p"}, Mechanisms: []string{"X-ONE"}})
		o := plainText(withTLS(submission.TLSImplicit), withAuth(auth))
		o.TLSConfig = srv.ClientTLSConfig()
		o.Dialer = dialFunc(func(context.Context, string, string) (net.Conn, error) { return away(srv.Pipe()), nil })
		c, err := submission.New("тест.example:4465", o)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if err := c.Ping(context.Background()); err == nil {
			t.Error("success, want an error")
		}
		check(t, got[0], want{"xn--e1aybc.example", 4465, []string{"X-ONE"}, true, true})
	})
}

// Auth is asked again for each session, with the context of the call.
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

// An Auth may wait, for a token for instance, until the context is done.
func TestAuthMayBlock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type key struct{}
		ctx, cancel := context.WithTimeout(context.WithValue(context.Background(), key{}, "value"), time.Minute)
		defer cancel()
		auth := submission.AuthFunc(func(ctx context.Context, _ submission.ServerInfo) (sasl.Client, error) {
			if ctx.Value(key{}) != "value" {
				t.Error("the context is not that of the call")
			}
			<-ctx.Done()
			return nil, ctx.Err()
		})
		start := time.Now()
		s, err := submission.NewSession(ctx, play(t, "whole", offersAuth("PLAIN")+"stall"), testHost, plainText(withAuth(auth)))
		if took := time.Since(start); took != time.Minute || s != nil {
			t.Errorf("took %v, want 1m; session %v", took, s)
		}
		if wantError[*submission.AuthError](t, err); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
	})
}

// When an Auth or a Trace panics, the panic reaches the caller and the connection is closed.
func TestAuthPanics(t *testing.T) {
	panics := func() { panic("in a function of the caller") }
	for name, set := range map[string]func(*submission.Options){
		"Auth": withAuth(submission.AuthFunc(func(context.Context, submission.ServerInfo) (sasl.Client, error) {
			panics()
			return nil, nil
		})),
		"Trace": func(o *submission.Options) {
			o.Trace = &submission.Trace{Received: func(_ context.Context, _ submission.SessionInfo, r submission.Reply) {
				if r.Code == 250 {
					panics()
				}
			}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("the panic did not reach the caller")
				}
			}()
			submission.NewSession(context.Background(), play(t, "whole", offersAuth("PLAIN")+"eof"), testHost, plainText(set))
		})
	}
}

// A server that asks for many iterations of SCRAM meets a caller who gives up: the
// derivation of the key ends at once, and no proof is sent.
func TestScramGivesUpWithItsCaller(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	client, server := net.Pipe()
	proof := make(chan string, 1)
	go func() {
		defer server.Close()
		in := bufio.NewReader(server)
		io.WriteString(server, "220 hi\r\n")
		in.ReadString('\n')
		io.WriteString(server, "250-mail\r\n250 AUTH SCRAM-SHA-512\r\n")
		line, _ := in.ReadString('\n')
		first, _ := base64.StdEncoding.DecodeString(strings.TrimSpace(strings.TrimPrefix(line, "AUTH SCRAM-SHA-512 ")))
		nonce := string(first)[strings.LastIndex(string(first), "r="):]
		cancel()
		io.WriteString(server, "334 "+b64(nonce+"x,s=c2FsdA==,i=200000")+"\r\n")
		rest, _ := in.ReadString('\n')
		proof <- rest
	}()
	s, err := submission.NewSession(ctx, client, testHost, plainText(withAuth(testPassword)))
	if s != nil || !errors.Is(err, context.Canceled) {
		t.Errorf("%v, %v", s, err)
	}
	if sent := <-proof; sent != "" && sent != "*\r\n" {
		t.Errorf("sent %q", sent)
	}
}
