package submission

import (
	"crypto/tls"

	"github.com/fe022423/submission/internal/mechanism"
	"github.com/xdg-go/scram"
)

// channelBinding returns what binds SCRAM to a TLS connection: tls-exporter on
// TLS 1.3 (RFC 9266), tls-server-end-point on TLS 1.2 (RFC 5929, 4). The zero
// Binding means that there is nothing to bind to.
func channelBinding(st *tls.ConnectionState) mechanism.Binding {
	if st == nil || !st.HandshakeComplete || len(st.PeerCertificates) == 0 {
		return mechanism.Binding{}
	}
	bind, kind := scram.NewTLSServerEndpointBinding, mechanism.TLSServerEndPoint
	if st.Version >= tls.VersionTLS13 {
		bind, kind = scram.NewTLSExporterBinding, mechanism.TLSExporter
	}
	b, err := bind(st)
	if err != nil {
		return mechanism.Binding{}
	}
	return mechanism.Binding{Type: kind, Data: b.Data}
}
