package submission_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/fe022423/submission"
	"github.com/fe022423/submission/smtptest"
)

// message is what a service sends, in these examples.
const message = "Subject: Your order\r\n\r\nIt is on its way.\r\n"

// demo starts a fake server, and returns it and options for it. The password of its account
// "shop" is "a secret".
func demo(hook func(smtptest.Command) *smtptest.Answer) (*smtptest.Server, *submission.Options) {
	srv := smtptest.NewServer(&smtptest.Config{Accounts: map[string]string{"shop": "a secret"}, Hook: hook})
	return srv, &submission.Options{TLSConfig: srv.ClientTLSConfig()}
}

// refusing is a hook that answers RCPT for one recipient.
func refusing(addr, reply string) func(smtptest.Command) *smtptest.Answer {
	return func(c smtptest.Command) *smtptest.Answer {
		if c.Verb == "RCPT" && strings.Contains(c.Line, "<"+addr+">") {
			return &smtptest.Answer{Reply: reply}
		}
		return nil
	}
}

func Example() {
	srv, options := demo(nil) // a real service uses the name of its server
	defer srv.Close()

	options.Auth = submission.Password{Username: "shop", Password: "a secret"}
	client, err := submission.New(srv.Addr(), options)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()

	result, err := client.Send(context.Background(), submission.Envelope{
		From: "shop@example.org",
		To:   submission.To("customer@example.net"),
	}, strings.NewReader(message))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(result.Reply)
	fmt.Println(strings.ReplaceAll(string(srv.Messages()[0].Data), "\r\n", "\n"))
	// Output:
	// 250 2.0.0 message accepted
	// Subject: Your order
	//
	// It is on its way.
}

// What to do about an error depends on the outcome first.
func ExampleSendError() {
	srv, options := demo(refusing("nobody@example.net", "550 5.1.1 no such user"))
	defer srv.Close()
	client, err := submission.New(srv.Addr(), options)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()

	_, err = client.Send(context.Background(), submission.Envelope{
		From: "shop@example.org",
		To:   submission.To("customer@example.net", "nobody@example.net"),
	}, strings.NewReader(message))

	var failed *submission.SendError
	if errors.As(err, &failed) {
		switch {
		case failed.Outcome == submission.Unknown:
			fmt.Println("it may have arrived: look before sending again")
		case failed.Temporary():
			fmt.Println("try again later")
		default:
			fmt.Println("it will not work like this:", err)
		}
		for _, r := range failed.Recipients {
			fmt.Println(r.Addr, r.Status)
		}
	}
	// Output:
	// it will not work like this: submission: RCPT: not sent: recipient nobody@example.net refused: server says 550 5.1.1 no such user
	// customer@example.net unsent
	// nobody@example.net invalid
}

// With Partial the accepted recipients get the message although others do not.
func ExampleEnvelope_partial() {
	srv, options := demo(refusing("nobody@example.net", "550 5.1.1 no such user"))
	defer srv.Close()
	client, err := submission.New(srv.Addr(), options)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()

	result, err := client.Send(context.Background(), submission.Envelope{
		From:    "shop@example.org",
		To:      submission.To("customer@example.net", "nobody@example.net"),
		Partial: true,
	}, strings.NewReader(message))
	fmt.Println(err)
	for _, r := range result.Recipients {
		fmt.Println(r.Addr, r.Status)
	}
	// Output:
	// submission: RCPT: partly sent: recipient nobody@example.net refused: server says 550 5.1.1 no such user
	// customer@example.net sent
	// nobody@example.net invalid
}

// A delivery status notification tells later what became of the message.
func ExampleDSN() {
	srv, options := demo(nil)
	defer srv.Close()
	client, err := submission.New(srv.Addr(), options)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()

	_, err = client.Send(context.Background(), submission.Envelope{
		From: "shop@example.org",
		To: []submission.Recipient{
			{Addr: "customer@example.net", ORCPT: "sales+customer@example.org"},
		},
		DSN: submission.DSN{
			Notify:     submission.NotifySuccess | submission.NotifyFailure,
			Return:     submission.ReturnHeaders,
			EnvelopeID: "order 17",
		},
	}, strings.NewReader(message))
	fmt.Println(err)
	for _, line := range srv.Transcript() {
		if strings.HasPrefix(line, "[1] C: MAIL") || strings.HasPrefix(line, "[1] C: RCPT") {
			fmt.Println(line)
		}
	}
	// Output:
	// <nil>
	// [1] C: MAIL FROM:<shop@example.org> SIZE=42 RET=HDRS ENVID=order+2017
	// [1] C: RCPT TO:<customer@example.net> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;sales+2Bcustomer@example.org
}

// A password that somebody waits for goes before a newsletter, where the server sorts
// its queue.
func ExampleEnvelope_priority() {
	srv, options := demo(nil)
	defer srv.Close()
	client, err := submission.New(srv.Addr(), options)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()

	_, err = client.Send(context.Background(), submission.Envelope{
		From:     "shop@example.org",
		To:       submission.To("customer@example.net"),
		Priority: 4,
	}, strings.NewReader(message))
	fmt.Println(err)
	fmt.Println(srv.Messages()[0].Params)
	// Output:
	// <nil>
	// [SIZE=42 MT-PRIORITY=4]
}

// The server keeps a message until the day of the sale, as far ahead as it is willing to.
func ExampleEnvelope_holdUntil() {
	srv := smtptest.NewServer(&smtptest.Config{Extensions: []string{"FUTURERELEASE 604800 2030-01-08T00:00:00Z"}})
	defer srv.Close()
	client, err := submission.New(srv.Addr(), &submission.Options{TLSConfig: srv.ClientTLSConfig()})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()

	envelope := submission.Envelope{From: "shop@example.org", To: submission.To("customer@example.net")}
	for _, day := range []int{5, 15} {
		envelope.HoldUntil = time.Date(2030, time.January, day, 8, 0, 0, 0, time.UTC)
		_, err = client.Send(context.Background(), envelope, strings.NewReader(message))
		if errors.Is(err, submission.ErrOutOfRange) {
			fmt.Println("hold it yourself:", err)
		}
	}
	fmt.Println(srv.Messages()[0].Params)
	// Output:
	// hold it yourself: submission: MAIL: not sent: sender "shop@example.org": out of range: Envelope.HoldUntil 2030-01-15T08:00:00Z, the server's limit is 2030-01-08T00:00:00Z (FUTURERELEASE)
	// [HOLDUNTIL=2030-01-05T08:00:00Z]
}

// A code that is of no use after ten minutes comes back instead of arriving later.
func ExampleDeliverBy() {
	srv, options := demo(nil)
	defer srv.Close()
	client, err := submission.New(srv.Addr(), options)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()

	_, err = client.Send(context.Background(), submission.Envelope{
		From:      "shop@example.org",
		To:        submission.To("customer@example.net"),
		DeliverBy: submission.DeliverBy{Within: 10 * time.Minute, Return: true},
	}, strings.NewReader(message))
	fmt.Println(err)
	fmt.Println(srv.Messages()[0].Params)
	// Output:
	// <nil>
	// [SIZE=42 BY=600;R]
}

// A statement of account is for the one who gave the address, not for whoever has the
// mailbox now.
func ExampleRecipient_validSince() {
	srv, options := demo(nil)
	defer srv.Close()
	client, err := submission.New(srv.Addr(), options)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()

	confirmed := time.Date(2024, time.April, 3, 23, 1, 0, 0, time.UTC) // the customer answered from this address
	_, err = client.Send(context.Background(), submission.Envelope{
		From: "shop@example.org",
		To:   []submission.Recipient{{Addr: "customer@example.net", ValidSince: confirmed}},
	}, strings.NewReader(message))
	fmt.Println(err)
	fmt.Println(srv.Messages()[0].RcptParams)
	// Output:
	// <nil>
	// [[RRVS=2024-04-03T23:01:00Z]]
}

// A message can be written while it is sent. If the function fails, nothing is
// delivered.
func ExampleClient_SendFunc() {
	srv, options := demo(nil)
	defer srv.Close()
	client, err := submission.New(srv.Addr(), options)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()

	env := submission.Envelope{From: "shop@example.org", To: submission.To("customer@example.net")}
	_, err = client.SendFunc(context.Background(), env, func(w io.Writer) error {
		fmt.Fprintf(w, "Subject: Report\n\n")
		return errors.New("the database is gone")
	})
	fmt.Println(err)
	fmt.Println(len(srv.Messages()), "messages arrived")
	// Output:
	// submission: message: not sent: message source: the database is gone
	// 0 messages arrived
}

// Use Ping when a service starts, to check its configuration.
func ExampleClient_Ping() {
	srv, options := demo(nil)
	defer srv.Close()
	options.Auth = submission.Password{Username: "shop", Password: "not the one"}
	client, err := submission.New(srv.Addr(), options)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	fmt.Println(client.Ping(context.Background()))
	// Output:
	// submission: AUTH PLAIN: server says 535 5.7.8 user or password is wrong (user name or password wrong)
}

// Your own session sends several messages, and other commands, in order.
func ExampleClient_Dial() {
	srv, options := demo(nil)
	defer srv.Close()
	client, err := submission.New(srv.Addr(), options)
	if err != nil {
		fmt.Println(err)
		return
	}
	session, err := client.Dial(context.Background())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer session.Close()
	limit, _ := session.Extensions().Size()
	fmt.Println("the server takes messages of up to", limit, "octets")
	fmt.Println(session.Verify(context.Background(), "customer@example.net"))
	fmt.Println(session.Noop(context.Background()))
	// Output:
	// the server takes messages of up to 52428800 octets
	// 252 2.5.0 cannot tell, send and see <nil>
	// <nil>
}

// Write a message piece by piece. Only Commit sends it.
func ExampleSession_Begin() {
	srv, options := demo(nil)
	defer srv.Close()
	client, err := submission.New(srv.Addr(), options)
	if err != nil {
		fmt.Println(err)
		return
	}
	session, err := client.Dial(context.Background())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer session.Close()
	tx, err := session.Begin(context.Background(), submission.Envelope{
		From: "shop@example.org", To: submission.To("customer@example.net"),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer tx.Abort() // does nothing after Commit
	fmt.Fprintln(tx, "Subject: In pieces")
	fmt.Fprintln(tx)
	fmt.Fprintln(tx, "One line.")
	result, err := tx.Commit()
	fmt.Println(result.Bytes, err)
	// Output: 33 <nil>
}

// Use any mechanism of go-sasl, or your own. The context may say whose message it is.
func ExampleAuthFunc() {
	srv, options := demo(nil)
	defer srv.Close()
	options.Auth = submission.AuthFunc(func(ctx context.Context, s submission.ServerInfo) (sasl.Client, error) {
		return sasl.NewPlainClient("", "shop", "a secret"), nil
	})
	client, err := submission.New(srv.Addr(), options)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	fmt.Println(client.Ping(context.Background()))
	// Output: <nil>
}

// A Password prints as asterisks, wherever it is printed.
func ExamplePassword() {
	options := submission.Options{Auth: submission.Password{Username: "shop", Password: "a secret"}}
	fmt.Printf("%+v\n", options.Auth)
	// Output: Password{"shop" ***}
}

// The proxy resolves the name of the server. The password for the server is protected by TLS,
// that for the proxy is not.
func ExampleSOCKS5() {
	dialer, err := submission.SOCKS5("proxy.example.org:1080", url.UserPassword("me", "for the proxy"), nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	client, err := submission.New("mail.example.org", &submission.Options{Dialer: dialer})
	if err != nil {
		fmt.Println(err)
		return
	}
	client.Close()
}

// To turn off only the check of the host name: the chain is still verified.
// InsecureSkipVerify without VerifyConnection turns off both.
func ExampleOptions_anyName() {
	roots, err := x509.SystemCertPool()
	if err != nil {
		fmt.Println(err)
		return
	}
	options := &submission.Options{TLSConfig: &tls.Config{
		InsecureSkipVerify: true,
		VerifyConnection: func(st tls.ConnectionState) error {
			chain := x509.VerifyOptions{Roots: roots, Intermediates: x509.NewCertPool()}
			for _, cert := range st.PeerCertificates[1:] {
				chain.Intermediates.AddCert(cert)
			}
			_, err := st.PeerCertificates[0].Verify(chain)
			return err
		},
	}}
	client, err := submission.New("10.0.0.25:587", options)
	if err != nil {
		fmt.Println(err)
		return
	}
	client.Close()
}

// A Logger gets one record for each message, and the commands and replies at level Debug,
// without secrets and messages.
func ExampleOptions_logger() {
	srv, options := demo(nil)
	defer srv.Close()
	plain := func(_ []string, a slog.Attr) slog.Attr {
		switch a.Key {
		case slog.TimeKey, "session", "server", "duration": // another one each time
			return slog.Attr{}
		}
		return a
	}
	options.Logger = slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{Level: slog.LevelDebug, ReplaceAttr: plain}))
	options.HELO, options.TLS = true, submission.TLSNone
	options.LocalName = "service.example.org"
	client, err := submission.New(srv.Addr(), options)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	env := submission.Envelope{From: "shop@example.org", To: submission.To("customer@example.net")}
	client.Send(context.Background(), env, strings.NewReader(message))
	// Output:
	// level=DEBUG msg="smtp received" code=220 reply="220 mail.test.example ESMTP ready"
	// level=DEBUG msg="smtp sent" line="HELO service.example.org"
	// level=DEBUG msg="smtp received" code=250 reply="250 mail.test.example"
	// level=DEBUG msg="smtp sent" line="MAIL FROM:<shop@example.org>"
	// level=DEBUG msg="smtp received" code=250 reply="250 sender ok"
	// level=DEBUG msg="smtp sent" line="RCPT TO:<customer@example.net>"
	// level=DEBUG msg="smtp received" code=250 reply="250 recipient ok"
	// level=DEBUG msg="smtp sent" line=DATA
	// level=DEBUG msg="smtp received" code=354 reply="354 end with a line that is one dot"
	// level=DEBUG msg="smtp received" code=250 reply="250 message accepted"
	// level=INFO msg=sent recipients=1 bytes=42 attempts=1 reply="250 message accepted"
	// level=DEBUG msg="smtp sent" line=QUIT
	// level=DEBUG msg="smtp received" code=221 reply="221 mail.test.example closing"
}

// A deadline limits everything: dialing, waiting for a session, and the message.
func ExampleClient_Send_deadline() {
	srv, options := demo(func(c smtptest.Command) *smtptest.Answer {
		if c.Verb == "MESSAGE" {
			return &smtptest.Answer{Reply: "250 late", Delay: time.Minute}
		}
		return nil
	})
	defer srv.Close()
	client, err := submission.New(srv.Addr(), options)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	_, err = client.Send(ctx, submission.Envelope{From: "shop@example.org", To: submission.To("customer@example.net")},
		strings.NewReader(message))
	fmt.Println(err)
	// Output: submission: final reply: outcome unknown: given up by the caller: context deadline exceeded
}

// Token is called once for each session, and once more if the server refused the token.
func ExampleOAuth2() {
	srv := smtptest.NewServer(&smtptest.Config{
		Accounts:   map[string]string{"shop": "the-new-token"},
		Mechanisms: []string{"XOAUTH2", "OAUTHBEARER"},
	})
	defer srv.Close()
	client, err := submission.New(srv.Addr(), &submission.Options{
		TLSConfig: srv.ClientTLSConfig(),
		Auth: submission.OAuth2{
			Username: "shop",
			Token: func(ctx context.Context, renew bool) (string, error) {
				fmt.Println("renew:", renew)
				if renew {
					return "the-new-token", nil
				}
				return "a-stale-token", nil // from a cache
			},
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	fmt.Println(client.Ping(context.Background()))
	// Output:
	// renew: false
	// renew: true
	// <nil>
}

// A tunnel through an HTTP proxy. If that fails, the server is dialed directly.
func ExampleHTTPConnect() {
	proxy, err := submission.HTTPConnect(&url.URL{Scheme: "http", Host: "proxy.example.org:3128"}, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	client, err := submission.New("mail.example.org", &submission.Options{
		Dialer: submission.Fallback(proxy, &net.Dialer{}),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	client.Close()
}

// To trust a server with a self-signed certificate, pin its key.
func ExampleOptions_pinnedKeys() {
	srv, options := demo(nil)
	defer srv.Close()
	options.TLSConfig = nil // without the CA of the server

	// The error for a wrong pin says the right sum. Compare it with what the owner of
	// the server says before you use it.
	options.PinnedKeys = [][32]byte{{}}
	client, err := submission.New(srv.Addr(), options)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	var failed *submission.TLSError
	fmt.Println(errors.As(client.Ping(context.Background()), &failed))
	// Output: true
}

// A server that delivers into mailboxes says for each recipient what became of the
// message. Some may have it and others not.
func ExampleOptions_lmtp() {
	srv := smtptest.NewServer(&smtptest.Config{
		LMTP: true, Network: "unix",
		Hook: func(c smtptest.Command) *smtptest.Answer {
			if c.Verb == "MESSAGE" && c.Addr == "full@example.org" {
				return &smtptest.Answer{Reply: "452 4.2.2 mailbox full"}
			}
			return nil
		},
	})
	defer srv.Close()

	client, err := submission.New("unix:"+srv.Addr(), &submission.Options{LMTP: true})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	_, err = client.Send(context.Background(), submission.Envelope{
		From: "shop@example.org",
		To:   submission.To("customer@example.org", "full@example.org"),
	}, strings.NewReader(message))
	var failed *submission.SendError
	if errors.As(err, &failed) {
		fmt.Println(failed.Outcome, "- try again:", failed.Temporary())
		for _, r := range failed.Recipients {
			fmt.Println(r.Addr, r.Status)
		}
	}
	// Output:
	// partly sent - try again: true
	// customer@example.org sent
	// full@example.org unsent
}

// A service is configured by one string, from its environment for instance.
func ExampleParseURL() {
	addr, options, err := submission.ParseURL("smtp://shop%40example.org:s3cret@mail.example.org:587?from=shop@example.org&sessions=4")
	if err != nil {
		fmt.Println(err)
		return
	}
	client, err := submission.New(addr, options)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	fmt.Println(addr, options.TLS, options.From, options.Auth)

	_, _, err = submission.ParseURL("smtp://shop:s3cret/7@mail.example.org")
	fmt.Println(err)
	// Output:
	// mail.example.org:587 TLSStartTLS shop@example.org Password{"shop@example.org" ***}
	// submission: option URL: malformed; in a user name or password %, /, ?, # and @ are written %25, %2F, %3F, %23 and %40
}

// The recipients of a message that has a header already.
func ExampleParseTo() {
	to, err := submission.ParseTo(`Anna <anna@example.net>, "Last, First" <first@example.org>, team: bea@example.com;`)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, r := range to {
		fmt.Println(r.Addr)
	}
	// Output:
	// anna@example.net
	// first@example.org
	// bea@example.com
}

// A message that says itself whom it is from and for. Bcc is left out of what is sent.
func ExampleClient_SendMessage() {
	srv, options := demo(nil)
	defer srv.Close()
	client, err := submission.New(srv.Addr(), options)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()

	_, err = client.SendMessage(context.Background(), strings.NewReader("From: Shop <shop@example.org>\r\n"+
		"To: Customer <customer@example.net>\r\nBcc: archive@example.org\r\nSubject: Your order\r\n\r\nIt is on its way.\r\n"))
	if err != nil {
		fmt.Println(err)
		return
	}
	m := srv.Messages()[0]
	fmt.Println(m.From, m.To)
	fmt.Println(strings.ReplaceAll(string(m.Data), "\r\n", "\n"))
	// Output:
	// shop@example.org [customer@example.net archive@example.org]
	// From: Shop <shop@example.org>
	// To: Customer <customer@example.net>
	// Subject: Your order
	//
	// It is on its way.
}

// ReadEnvelope shows the envelope before the message is sent, so that something can be
// added to it.
func ExampleReadEnvelope() {
	srv, options := demo(nil)
	defer srv.Close()
	client, err := submission.New(srv.Addr(), options)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()

	envelope, rest, err := submission.ReadEnvelope(strings.NewReader("From: shop@example.org\r\n" +
		"To: Anna <anna@example.net>, Bea <bea@example.net>\r\nCc: team: anna@example.net;\r\n\r\nhello\r\n"))
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, r := range envelope.To {
		fmt.Println(r.Addr)
	}
	envelope.Partial = true
	_, err = client.Send(context.Background(), envelope, rest)
	fmt.Println(err)
	// Output:
	// anna@example.net
	// bea@example.net
	// <nil>
}

// order is a message as a library that makes messages has it: *mail.Msg of
// github.com/wneessen/go-mail has these methods.
type order struct{}

func (order) GetSender(fullAddr bool) (string, error) { return "<shop@example.org>", nil }
func (order) GetRecipients() ([]string, error)        { return []string{"<customer@example.net>"}, nil }
func (order) WriteTo(w io.Writer) (int64, error)      { return io.Copy(w, strings.NewReader(message)) }

// A message of another library: it writes itself.
func ExampleEnvelopeOf() {
	srv, options := demo(nil)
	defer srv.Close()
	client, err := submission.New(srv.Addr(), options)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()

	var msg order
	envelope, err := submission.EnvelopeOf(msg)
	if err != nil {
		fmt.Println(err)
		return
	}
	result, err := client.SendFunc(context.Background(), envelope, func(w io.Writer) error {
		_, err := msg.WriteTo(w)
		return err
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(envelope.From, result.Recipients[0].Addr, result.Reply)
	// Output:
	// shop@example.org customer@example.net 250 2.0.0 message accepted
}

// A message is tried again as long as that may help: here the server takes it the second
// time.
func ExampleRetry() {
	tries := 0
	srv, options := demo(func(c smtptest.Command) *smtptest.Answer {
		if c.Verb == "RCPT" && c.Addr == "bea@example.net" {
			if tries++; tries == 1 {
				return &smtptest.Answer{Reply: "450 4.2.1 try again in a moment"}
			}
		}
		return nil
	})
	defer srv.Close()
	client, err := submission.New(srv.Addr(), options)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()

	retry := submission.Retry{Backoff: func(attempt int, err *submission.SendError) time.Duration {
		fmt.Println("attempt", attempt, err.Outcome)
		return 10 * time.Millisecond
	}}
	result, err := retry.Send(context.Background(), client, submission.Envelope{
		From:    "shop@example.org",
		To:      submission.To("anna@example.net", "bea@example.net"),
		Partial: true,
	}, func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(message)), nil }) // often os.Open
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, r := range result.Recipients {
		fmt.Println(r.Addr, r.Status)
	}
	for _, m := range srv.Messages() {
		fmt.Println("arrived for", m.To)
	}
	// Output:
	// attempt 1 partly sent
	// anna@example.net sent
	// bea@example.net sent
	// arrived for [anna@example.net]
	// arrived for [bea@example.net]
}

// For a queue of your own: what is to be kept for later.
func ExampleSendError_Remaining() {
	srv, options := demo(func(c smtptest.Command) *smtptest.Answer {
		switch {
		case c.Verb == "RCPT" && c.Addr == "bea@example.net":
			return &smtptest.Answer{Reply: "450 4.2.1 try again later"}
		case c.Verb == "RCPT" && c.Addr == "nobody@example.net":
			return &smtptest.Answer{Reply: "550 5.1.1 no such user"}
		}
		return nil
	})
	defer srv.Close()
	client, err := submission.New(srv.Addr(), options)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()

	envelope := submission.Envelope{
		From:    "shop@example.org",
		To:      submission.To("anna@example.net", "bea@example.net", "nobody@example.net"),
		Partial: true,
	}
	_, err = client.Send(context.Background(), envelope, strings.NewReader(message))
	var failed *submission.SendError
	if errors.As(err, &failed) {
		if rest, ok := failed.Remaining(envelope); ok {
			for _, r := range rest.To {
				fmt.Println("again later:", r.Addr)
			}
		}
	}
	// Output:
	// again later: bea@example.net
}

// An address may stand in one pair of angle brackets. A display name is refused.
func ExampleRecipient_brackets() {
	srv, options := demo(nil)
	defer srv.Close()
	client, err := submission.New(srv.Addr(), options)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()

	for _, addr := range []string{"<anna@example.net>", "Anna <anna@example.net>"} {
		result, err := client.Send(context.Background(), submission.Envelope{
			From: "<shop@example.org>",
			To:   submission.To(addr),
		}, strings.NewReader(message))
		if err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Println(result.Recipients[0].Addr, result.Recipients[0].Status)
	}
	// Output:
	// <anna@example.net> sent
	// submission: RCPT: not sent: recipient "Anna <anna@example.net>": ' ' in the local part needs quotes around it (an envelope address has no display name: anna@example.net (ParseTo))
}
