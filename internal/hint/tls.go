package hint

import (
	"context"
	"crypto/tls"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/fe022423/submission/internal/printable"
)

// TLS is a handshake that failed.
type TLS struct {
	Server
	Config   *tls.Config
	Err      error
	NoPin    bool  // Err is that the key of the server is not pinned
	Alert    error // of the server, nil when there was none; crypto/tls shows no more of it than its text
	Greeted  bool  // the server had sent its greeting
	Mute     bool  // the server did not answer the ClientHello
	Answered bool  // it did
	Ended    bool  // the other end closed the connection, or it broke
	Adopted  bool  // the connection was handed in, so that Config says nothing about it

	NoRoots func() bool      // reports whether this machine has no CA certificates
	Now     func() time.Time // the clock that certificates are held against
}

// Hint says what to do about the failure, "" when that is not known.
func (t TLS) Hint() string {
	var header tls.RecordHeaderError
	switch {
	case errors.As(t.Err, &header):
		return t.clearTextHint(header)
	case t.NoPin:
		return "if the server changed its key on purpose, add the new sum to PinnedKeys"
	case t.Alert != nil:
		return t.alertHint()
	case strings.Contains(t.Err.Error(), "tls: server selected unsupported protocol version"):
		return t.versionHint()
	case t.Mute && !errors.Is(t.Err, context.Canceled):
		return t.muteHint()
	}
	return t.certificateHint()
}

// ClearText returns the first octets, quoted, of what was no record of TLS. ok is
// false when they cannot be text.
func ClearText(err error) (text string, ok bool) {
	var header tls.RecordHeaderError
	if !errors.As(err, &header) {
		return "", false
	}
	first := header.RecordHeader[0]
	return printable.Quoted(string(header.RecordHeader[:])), first >= ' ' && first < 0x7f
}

// clearTextHint says what to make of what came in place of the first record of TLS,
// or of another.
func (t TLS) clearTextHint(header tls.RecordHeaderError) string {
	text, ok := ClearText(header)
	said := string(header.RecordHeader[:])
	other := t.otherServer(said)
	switch {
	case header.Conn == nil: // not the first
		if !ok {
			return ""
		}
		return "clear text in the middle of the handshake, beginning " + text
	case t.Greeted:
		return "the server agreed to STARTTLS and then did not speak TLS but began with " + text
	case other != "":
		return "it begins with " + text + ": " + other
	case strings.HasPrefix(said, "220"):
		return "the server began in clear text with " + text + ": perhaps " + t.placeName() + " wants TLSStartTLS, not TLSImplicit"
	case strings.HasPrefix(said, "421"):
		return "the server refuses in clear text, beginning " + text + ": " + tooMany
	case said[0] == '4' || said[0] == '5':
		return "the server refuses in clear text, beginning " + text
	}
	return "the server did not speak TLS but began with " + text
}

// muteHint says why a server perhaps does not answer the ClientHello.
func (t TLS) muteHint() string {
	tooLarge, turnedAway := "", ""
	if hasLargeHello(t.Config) {
		tooLarge = "perhaps the server, or something on the way, cannot take a large ClientHello: " +
			"set TLSConfig.CurvePreferences to X25519 and CurveP256, which makes it small"
	}
	if t.Ended && !t.Greeted {
		turnedAway = tooMany
	}
	return alternatives(tooLarge, turnedAway)
}

// hasLargeHello reports whether a ClientHello is longer than a packet: it holds a
// key against quantum computers, by default and in TLS 1.3.
func hasLargeHello(c *tls.Config) bool {
	large := []tls.CurveID{tls.X25519MLKEM768, tls.SecP256r1MLKEM768, tls.SecP384r1MLKEM1024}
	return (c.MaxVersion == 0 || c.MaxVersion >= tls.VersionTLS13) && (len(c.CurvePreferences) == 0 ||
		slices.ContainsFunc(c.CurvePreferences, func(id tls.CurveID) bool { return slices.Contains(large, id) }))
}

// Alerts of RFC 8446, 6.2 that say something about a field of tls.Config.
const (
	alertHandshakeFailure     tls.AlertError = 40
	alertBadCertificate       tls.AlertError = 42
	alertUnsupportedCert      tls.AlertError = 43
	alertCertificateRevoked   tls.AlertError = 44
	alertCertificateExpired   tls.AlertError = 45
	alertCertificateUnknown   tls.AlertError = 46
	alertUnknownCA            tls.AlertError = 48
	alertAccessDenied         tls.AlertError = 49
	alertProtocolVersion      tls.AlertError = 70
	alertInsufficientSecurity tls.AlertError = 71
	alertUnrecognizedName     tls.AlertError = 112
	alertCertificateRequired  tls.AlertError = 116
	alertNoProtocol           tls.AlertError = 120
)

// alertHint says what to make of an alert of the server.
func (t TLS) alertHint() string {
	is := func(alerts ...tls.AlertError) bool {
		return slices.ContainsFunc(alerts, func(a tls.AlertError) bool { return a.Error() == t.Alert.Error() })
	}
	switch {
	case is(alertProtocolVersion):
		return t.versionHint()
	case is(alertHandshakeFailure, alertInsufficientSecurity) && !t.Answered:
		return "perhaps there is no cipher suite in common: TLSConfig.CipherSuites"
	case is(alertCertificateRequired, alertHandshakeFailure, alertBadCertificate, alertUnsupportedCert, alertCertificateRevoked,
		alertCertificateExpired, alertCertificateUnknown, alertUnknownCA, alertAccessDenied):
		hint := "perhaps the server wants a client certificate: TLSConfig.Certificates"
		switch {
		case len(t.Config.Certificates) > 0 || t.Config.GetClientCertificate != nil:
			hint = "the server does not accept the client certificate: TLSConfig.Certificates"
		case is(alertCertificateRequired):
			hint = strings.TrimPrefix(hint, "perhaps ")
		}
		return hint
	case is(alertUnrecognizedName):
		return "the server does not know the name " + printable.Text(t.Config.ServerName) + ": dial another, or set TLSConfig.ServerName"
	case is(alertNoProtocol):
		return "the server wants another protocol: TLSConfig.NextProtos"
	}
	return ""
}

// versionHint is the advice when there is no version of TLS in common.
func (t TLS) versionHint() string {
	if t.Config.MaxVersion != 0 {
		return "the server has none of the versions that TLSConfig.MinVersion and TLSConfig.MaxVersion allow"
	}
	return "perhaps the server has only versions older than TLSConfig.MinVersion, which is " +
		tls.VersionName(t.Config.MinVersion) + ": it should be updated"
}
