package smtptest

import "crypto/tls"

// TLSMode says when a Server's sessions are encrypted. The zero value is
// StartTLS.
type TLSMode uint8

// The modes of a Server.
const (
	// StartTLS greets in clear text and offers STARTTLS (RFC 3207).
	StartTLS TLSMode = iota
	// ImplicitTLS expects a TLS handshake before the greeting (RFC 8314, 3).
	ImplicitTLS
	// NoTLS speaks clear text and does not offer STARTTLS.
	NoTLS
)

// Config describes a Server. The zero value is a server on which everything works:
// it offers all of DefaultExtensions and STARTTLS, but no AUTH. NewServer copies
// the Config; changing it afterwards has no effect.
type Config struct {
	// TLS is when sessions are encrypted.
	TLS TLSMode
	// LMTP makes the server speak LMTP (RFC 2033): it is greeted with LHLO and does not
	// know EHLO and HELO, and it answers a message with a final reply for each recipient
	// that it accepted. Hook may answer each of them; see Command.Addr. A Message is
	// recorded for those recipients whose final reply was positive. An Answer to BDAT
	// with LAST itself stands for the final replies of all.
	LMTP bool
	// Network is what the server listens on: "tcp", which "" stands for, or "unix".
	Network string
	// Addr is the address that the server listens on, "host:port", or with the Network
	// "unix" the path of the socket, which must not exist yet. "" is a free port of the
	// loopback interface, or a socket in a temporary directory. Stop and Close remove the
	// socket, and Start makes it again at the same path.
	Addr string
	// TLSConfig, when set, restricts TLS or asks for client certificates. If it has
	// no certificate and no callback that chooses one, the server adds its own
	// certificate. MinVersion 0 is TLS 1.2.
	TLSConfig *tls.Config
	// Hostname is the name of the server: in the greeting, in the reply to EHLO, in
	// the certificate, and as the realm of DIGEST-MD5. "" is "mail.test.example".
	Hostname string
	// Extensions are the lines of the EHLO reply: a keyword and its values,
	// separated by spaces. The server itself adds STARTTLS and AUTH. nil is
	// DefaultExtensions, an empty slice is none. The server refuses what it does
	// not offer: parameters with 555, BDAT with 502. It offers REQUIRETLS only
	// under TLS (RFC 8689, 2). It keeps to the limits in the lines: of SIZE, of
	// LIMITS ("LIMITS MAILMAX=100 RCPTMAX=50 RCPTDOMAINMAX=3", RFC 9422), of
	// FUTURERELEASE ("FUTURERELEASE 86400 2030-01-01T00:00:00Z": the longest HOLDFOR in
	// seconds, the last HOLDUNTIL) and of DELIVERBY ("DELIVERBY 60": the shortest time
	// in seconds for a message that is to be returned when it is late).
	Extensions []string
	// Accounts are the passwords by user name. For XOAUTH2 and OAUTHBEARER the
	// password is the token. NTLM looks for the account DOMAIN\user first, and
	// then for user, in any domain; it ignores case. Without accounts AUTH offers
	// only EXTERNAL and ANONYMOUS, if they are among Mechanisms.
	Accounts map[string]string
	// Mechanisms are the SASL mechanisms that AUTH offers; nil is PLAIN, LOGIN and
	// DIGEST-MD5. The server also speaks CRAM-MD5, SCRAM-SHA-1, SCRAM-SHA-256 and
	// SCRAM-SHA-512, these three also with -PLUS, NTLM, XOAUTH2, OAUTHBEARER,
	// EXTERNAL and ANONYMOUS. Any other mechanism is offered too, but answered with
	// 504 unless Hook answers it.
	//
	// The -PLUS mechanisms are offered only under TLS. They bind to tls-exporter,
	// which needs TLS 1.3, or to tls-server-end-point, which needs a TLSConfig that
	// has at most one certificate and no callback that chooses one. The server
	// refuses a client that says it can bind but was not offered a -PLUS, which
	// happens if Hook removes it from the reply to EHLO (RFC 5802, 6).
	//
	// EXTERNAL is offered to a client that presented a TLS certificate. The server
	// asks for one and accepts any, or those that ClientAuth and ClientCAs of
	// TLSConfig allow. The user is the common name of the certificate, or the one
	// of Accounts that the client asks for.
	//
	// ANONYMOUS accepts a mail address or any other short text. Message.Auth is
	// then "anonymous".
	Mechanisms []string
	// RequireAuth makes the server answer MAIL with 530 5.7.0 until the client has
	// authenticated.
	RequireAuth bool
	// Discard makes the server count the bytes of messages but not keep them:
	// Message.Data is nil. A message can then be larger than memory.
	Discard bool
	// Hook, when set, may answer any command instead of the server. Server.SetHook
	// replaces it.
	Hook Hook

	// LenientGreeting allows a client to speak before the greeting. Otherwise the
	// first command is answered with 554, and the session ends.
	LenientGreeting bool
	// LenientPipelining allows a client to send a command before it has the reply to
	// the one before, although PIPELINING is not offered (RFC 2920, 3.1). Otherwise
	// that command is answered with 503, and the session ends.
	LenientPipelining bool
	// LenientData allows a client to send what follows DATA before it has the reply.
	// If DATA is refused, the server then takes the lines of the message for commands.
	// Otherwise it answers the message with 503, and the session ends.
	LenientData bool
	// Lenient8BitMIME allows bytes above 0x7f in a message although neither 8BITMIME
	// nor SMTPUTF8 is offered, or although MAIL had BODY=7BIT (RFC 6152, 3).
	// Otherwise the message, or its chunk, is refused with 554.
	Lenient8BitMIME bool
	// LenientSMTPUTF8 allows bytes above 0x7f in the header section of a message
	// although MAIL had no SMTPUTF8 (RFC 6531, 3.1). Otherwise the message, or its
	// chunk, is refused with 554.
	LenientSMTPUTF8 bool
	// LenientClearText allows PLAIN and LOGIN without TLS although STARTTLS is
	// offered. Otherwise they are refused with 538.
	LenientClearText bool
}

// DefaultExtensions returns what a Server offers when Config.Extensions is nil. The
// slice is a copy.
func DefaultExtensions() []string {
	return []string{
		"PIPELINING",
		"SIZE 52428800",
		"8BITMIME",
		"SMTPUTF8",
		"DSN",
		"CHUNKING",
		"BINARYMIME",
		"ENHANCEDSTATUSCODES",
		"REQUIRETLS",
		"MT-PRIORITY",
		"FUTURERELEASE 999999999 9999-12-31T23:59:59Z",
		"DELIVERBY",
		"RRVS",
	}
}
