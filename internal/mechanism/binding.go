package mechanism

import (
	"crypto/tls"
	"errors"

	"github.com/xdg-go/scram"
)

// The channel bindings that a Binding may be of.
const (
	TLSExporter       = "tls-exporter"         // RFC 9266; TLS 1.3
	TLSServerEndPoint = "tls-server-end-point" // RFC 5929
)

// Binding ties an exchange to the TLS connection below it (RFC 5056). The zero
// value says that this side has nothing to bind to.
type Binding struct {
	Type string // TLSExporter or TLSServerEndPoint
	Data []byte
}

// ChannelBinding returns what binds SCRAM to a TLS connection: tls-exporter on
// TLS 1.3 (RFC 9266), tls-server-end-point on TLS 1.2 (RFC 5929, 4). It is the
// zero Binding when there is nothing to bind to, and for a nil state.
func ChannelBinding(st *tls.ConnectionState) Binding {
	if st == nil || !st.HandshakeComplete || len(st.PeerCertificates) == 0 {
		return Binding{}
	}
	bind, kind := scram.NewTLSServerEndpointBinding, TLSServerEndPoint
	if st.Version >= tls.VersionTLS13 {
		bind, kind = scram.NewTLSExporterBinding, TLSExporter
	}
	b, err := bind(st)
	if err != nil {
		return Binding{}
	}
	return Binding{Type: kind, Data: b.Data}
}

func (b Binding) check() error {
	if b.Type != TLSExporter && b.Type != TLSServerEndPoint || len(b.Data) == 0 {
		return errors.New("the connection offers no channel binding")
	}
	return nil
}
