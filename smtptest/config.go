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
	// NoTLS speaks clear text and offers no way out of it.
	NoTLS
)

// Config describes a Server. Its zero value is a server on which everything
// works: all of DefaultExtensions and STARTTLS offered, no AUTH. A Config is
// copied by NewServer; changing it afterwards has no effect.
type Config struct {
	// TLS is when sessions are encrypted.
	TLS TLSMode
	// TLSConfig, when set, restricts TLS or asks for client certificates; it is
	// copied. Without a certificate and without the callbacks that choose one
	// the server adds its own; MinVersion 0 is TLS 1.2.
	TLSConfig *tls.Config
	// Hostname stands in the greeting, in the reply to EHLO, in the
	// certificate and as the realm of DIGEST-MD5. "" is "mail.test.example".
	Hostname string
	// Extensions are the lines of the EHLO reply beside STARTTLS and AUTH,
	// which the server adds where they are due: a keyword and its values,
	// parted by spaces. nil is DefaultExtensions, an empty slice is none. What
	// is not offered is refused: parameters with 555, BDAT with 502. REQUIRETLS
	// is left out of clear-text sessions (RFC 8689, 2).
	Extensions []string
	// Accounts are the passwords by user name; to XOAUTH2 and OAUTHBEARER a
	// password is the token. NTLM finds the account DOMAIN\user or else user,
	// which is good in any domain; there case does not count. With no accounts
	// AUTH offers EXTERNAL and ANONYMOUS alone, where Mechanisms has them.
	Accounts map[string]string
	// Mechanisms are the SASL mechanisms that AUTH offers; nil is PLAIN, LOGIN
	// and DIGEST-MD5. The server also speaks CRAM-MD5, SCRAM-SHA-1,
	// SCRAM-SHA-256 and SCRAM-SHA-512, these three with -PLUS too, NTLM,
	// XOAUTH2, OAUTHBEARER, EXTERNAL and ANONYMOUS. Any other is offered, but
	// answered 504 unless Hook answers it.
	//
	// A -PLUS is offered under TLS only. It binds to tls-exporter, with TLS 1.3
	// alone, or to tls-server-end-point, unless TLSConfig leaves open which
	// certificate the client saw. A client that could bind but saw no -PLUS,
	// as when Hook strikes it from the reply to EHLO, is refused (RFC 5802, 6).
	//
	// EXTERNAL is offered to a client that presented a TLS certificate. The
	// server asks for one and takes any, or what ClientAuth and ClientCAs of
	// TLSConfig allow. The client is the common name of the certificate, or
	// one of Accounts if it asks to be.
	//
	// ANONYMOUS takes any trace, and makes Message.Auth "anonymous".
	Mechanisms []string
	// RequireAuth answers MAIL with 530 5.7.0 until the client authenticated.
	RequireAuth bool
	// Discard keeps no message octets, it only counts them: Message.Data stays
	// nil, so that a message larger than memory can be sent.
	Discard bool
	// Hook, when set, sees each command before the server answers it, and
	// answers it itself by returning an Answer; with nil the server goes on as
	// without a Hook. An answer of the Hook has the effect of the same reply
	// given by the server: 250 to RCPT adds a recipient, also to one the server
	// would refuse, 354 to DATA makes it read a message, 235 to RESPONSE
	// authenticates, and the keywords of a reply to EHLO are the ones offered.
	// Sessions call it concurrently. It must not call Server.Close.
	Hook func(Command) *Answer
}

// DefaultExtensions returns what a Server offers when Config.Extensions is
// nil, in a slice of the caller's own.
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
	}
}
