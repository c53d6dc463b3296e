// Package submission hands mail to an SMTP server: a message submission client
// (RFC 5321, RFC 6409).
//
// A [Client] stands for one server and is made once:
//
//	client, err := submission.New("mail.example.org", &submission.Options{
//		Auth: submission.Password{Username: "me", Password: password},
//	})
//	...
//	defer client.Close()
//	result, err := client.Send(ctx, submission.Envelope{
//		From: "me@example.org",
//		To:   submission.To("you@example.net"),
//	}, message)
//
// The message is an io.Reader with header section and body; making it is not
// this package's business. It is sent as it is, but for line endings. A nil error
// means that the server took it for every recipient. Any other end is a
// *[SendError], whose Outcome is the thing to look at:
//
//   - [NotSent]: nobody got it, it may be sent again; Temporary tells whether
//     that may help.
//   - [PartlySent]: with Envelope.Partial, some recipients were refused.
//   - [Unknown]: the connection failed between the last octet and the server's
//     verdict. Only the caller can weigh a duplicate against a loss.
//
// # What is promised
//
// TLS is required unless an option says otherwise, and credentials are not sent
// readable without verified TLS. Nothing asked for is dropped in silence: a
// notification, a parameter, an address that the server cannot handle is
// [ErrUnsupported] before anything is sent. A message whose source fails is not
// delivered. Contexts are obeyed at once, at any point. No secret stands in a log, a
// trace or an error.
//
// # What it speaks
//
//	RFC 5321        SMTP, with HELO where the server knows no EHLO
//	RFC 3207, 8314  STARTTLS and implicit TLS
//	RFC 4954        AUTH: SCRAM-SHA-1, -256 and -512 with channel binding, PLAIN, LOGIN,
//	                CRAM-MD5, DIGEST-MD5, NTLM, XOAUTH2, OAUTHBEARER, EXTERNAL,
//	                ANONYMOUS, any sasl.Client of the caller's
//	RFC 2920        PIPELINING
//	RFC 3030        CHUNKING, BINARYMIME
//	RFC 1870        SIZE
//	RFC 6152        8BITMIME
//	RFC 6531        SMTPUTF8
//	RFC 3461, 6533  DSN
//	RFC 2034        ENHANCEDSTATUSCODES
//	RFC 8689        REQUIRETLS
//	RFC 1928, 1929  SOCKS5
//	RFC 9110        CONNECT through HTTP proxies
//
// # Reading the source
//
// From the top: client.go and pool.go hold the sessions of a Client; session.go
// is one session and handshake.go how it comes about, with tls.go, auth.go and
// exchange.go; transaction.go is one message, which feed.go takes in, batch.go
// brings through the envelope and deliver.go to the server; conn.go is the connection below, and
// the only place that knows deadlines. envelope.go, plan.go, address.go and dsn.go
// make the command lines. errors.go, outcome.go and result.go are what the caller
// gets to see. Package smtptest is the fake server for tests.
package submission
