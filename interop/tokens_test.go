//go:build linux

package interop

import (
	"encoding/json"
	"net"
	"net/http"
)

// serveTokens answers Dovecot's questions about tokens (RFC 7662): one is good, and
// it is account's.
func serveTokens(port int) (*http.Server, error) {
	ln, err := net.Listen("tcp", loopback(port))
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /introspect", func(w http.ResponseWriter, r *http.Request) {
		answer := map[string]any{"active": false}
		if r.PostFormValue("token") == token {
			answer = map[string]any{"active": true, "username": account}
		}
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(answer)
	})
	srv := &http.Server{Handler: mux}
	go srv.Serve(ln)
	return srv, nil
}
