// Package submission hands mail to an SMTP server: a message submission client
// (RFC 5321, RFC 6409). It speaks LMTP as well.
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
// The message is an io.Reader with header section and body, which you make with
// whatever you like. It is sent as it is, except that line endings become CRLF.
// [Client.SendMessage] takes sender and recipients from the message itself, and leaves Bcc
// out. A nil error means that the server accepted it for every recipient. Anything else
// is a *[SendError]; look at its Outcome first:
//
//   - [NotSent]: nobody got it, and it may be sent again; Temporary tells whether
//     that may help.
//   - [PartlySent]: some recipients were refused, with Envelope.Partial or, with
//     Options.LMTP, after the message.
//   - [Unknown]: the last byte of the message was sent, and no verdict of the
//     server came that can be believed. Only you can weigh a duplicate against a
//     loss.
//
// # What is promised
//
// TLS is required, except over a Unix socket or where an option says otherwise.
// Without verified TLS, credentials are not sent in a form that can be read, except
// over a connection that stays on this machine or where Options.InsecureAuth allows it.
// Nothing you ask for is silently dropped: when the server cannot handle a notification,
// a parameter or an address, the send fails with [ErrUnsupported] before anything of the
// message is sent. A message whose source fails is not delivered. When a context is done,
// the connection is closed at once, at any point. No secret appears in a log, a trace or
// an error.
//
// A message is never sent twice: it starts once more, on a fresh session, only when
// the session it met had been used before and turned out to be the wrong one, and
// only when nothing of the message can have been accepted. [Retry] tries again what
// may be sent again, for those who do not have it.
//
// # What it speaks
//
//	RFC 5321        SMTP, with HELO where the server knows no EHLO
//	RFC 2033        LMTP, over Unix sockets too
//	RFC 3207, 8314  STARTTLS and implicit TLS
//	RFC 4954        AUTH: SCRAM-SHA-1, -256 and -512 with channel binding, PLAIN, LOGIN,
//	                CRAM-MD5, DIGEST-MD5, NTLM, XOAUTH2, OAUTHBEARER, EXTERNAL,
//	                ANONYMOUS, any sasl.Client of your own
//	RFC 2920        PIPELINING
//	RFC 3030        CHUNKING, BINARYMIME
//	RFC 1870        SIZE
//	RFC 6152        8BITMIME
//	RFC 6531        SMTPUTF8
//	RFC 3461, 6533  DSN
//	RFC 2034        ENHANCEDSTATUSCODES
//	RFC 8689        REQUIRETLS
//	RFC 9422        LIMITS: MAILMAX, RCPTMAX, RCPTDOMAINMAX
//	RFC 6710        MT-PRIORITY
//	RFC 4865        FUTURERELEASE
//	RFC 2852        DELIVERBY
//	RFC 7293        RRVS
//	RFC 1928, 1929  SOCKS5
//	RFC 9110        CONNECT through HTTP proxies
//
// # Looking on
//
// Options.Logger gets one record for each message, and at level Debug what the server and
// this side say. [Trace] has functions that are called for each step, with its context and
// the number of its session; [WithTrace] sets them for one call. [Client.Stats] has the
// figures of the pool.
//
// # In tests
//
// Package smtptest is a fake server for your tests, in the manner of
// net/http/httptest.
package submission
