package submission

import (
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// sessionCacheSize bounds the TLS sessions that a Client keeps for resumption.
// There is one server, but it may be many machines behind one name.
const sessionCacheSize = 32

// newTLSConfig completes Options.TLSConfig for the host.
func (c *config) newTLSConfig() *tls.Config {
	var t *tls.Config
	if c.TLSConfig != nil {
		t = c.TLSConfig.Clone()
	} else {
		t = new(tls.Config)
	}
	if t.ServerName == "" {
		t.ServerName = strings.TrimSuffix(c.host, ".")
	}
	if t.MinVersion == 0 {
		t.MinVersion = tls.VersionTLS12
	}
	if t.ClientSessionCache == nil {
		t.ClientSessionCache = tls.NewLRUClientSessionCache(sessionCacheSize)
	}
	if len(c.PinnedKeys) > 0 {
		t.InsecureSkipVerify = true // the key is the check
		next := t.VerifyConnection
		t.VerifyConnection = func(st tls.ConnectionState) error {
			if err := c.checkPin(st); err != nil || next == nil {
				return err
			}
			return next(st)
		}
	}
	return t
}

// errPin says that the server's key is none of PinnedKeys.
var errPin = errors.New("the server's key is none of PinnedKeys")

// checkPin checks the server's own key where keys are pinned; those of a chain
// nobody verified prove nothing.
func (c *config) checkPin(st tls.ConnectionState) error {
	if len(c.PinnedKeys) == 0 {
		return nil
	}
	if len(st.PeerCertificates) == 0 {
		return errPin
	}
	leaf := st.PeerCertificates[0]
	if sum := sha256.Sum256(leaf.RawSubjectPublicKeyInfo); !slices.Contains(c.PinnedKeys, sum) {
		return fmt.Errorf("%w: its SHA-256 is %x", errPin, sum)
	}
	return nil
}

// verified reports whether the server's identity was checked by somebody: the
// chain, a pin, a check of the caller's, or another TLS stack on its honour.
func (c *config) verified(st tls.ConnectionState) bool {
	if len(st.VerifiedChains) > 0 || len(c.PinnedKeys) > 0 {
		return true
	}
	t := c.tlsConfig
	return t.InsecureSkipVerify && (t.VerifyConnection != nil || t.VerifyPeerCertificate != nil) ||
		!t.InsecureSkipVerify && c.TLSClient != nil
}
