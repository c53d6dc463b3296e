package submission_test

import (
	"context"
	"crypto/tls"
	"strings"
	"testing"

	"github.com/fe022423/submission"
)

// EXTERNAL with a client certificate.
func TestExternal(t *testing.T) {
	srv, o := mechanismServer(t, tls.VersionTLS13, "EXTERNAL")
	o.TLSConfig.Certificates = []tls.Certificate{selfSigned()}
	for identity, ok := range map[string]bool{"user": true, "stranger": false} {
		used, err := login(t, srv, o, submission.External(identity))
		if ok != (err == nil) || used != "EXTERNAL" {
			t.Errorf("%s: %s, %v", identity, used, err)
		}
	}
	nc := play(t, "whole", "S: 220 x\nC: EHLO client.test.example\nS: 250-x\nS: 250 AUTH EXTERNAL\nC: AUTH EXTERNAL =\nS: 235 ok")
	if _, err := submission.NewSession(context.Background(), nc, testHost, plainText(func(o *submission.Options) { o.Auth = submission.External("") })); err != nil {
		t.Error(err)
	}
}

// ANONYMOUS, and traces that cannot be sent.
func TestAnonymous(t *testing.T) {
	srv, o := mechanismServer(t, tls.VersionTLS13, "ANONYMOUS")
	if used, err := login(t, srv, o, submission.Anonymous("sirhc")); err != nil || used != "ANONYMOUS" {
		t.Errorf("%s, %v", used, err)
	}
	if _, err := login(t, srv, o, submission.Anonymous("a\nb")); err == nil {
		t.Error("a trace with a line ending was sent")
	}
	srv, o = mechanismServer(t, tls.VersionTLS13, "PLAIN")
	_, err := login(t, srv, o, submission.Anonymous(""))
	if e := wantError[*submission.AuthError](t, err); e.Mechanism != "" || !strings.Contains(err.Error(), "PLAIN") || !strings.Contains(err.Error(), "ANONYMOUS") {
		t.Errorf("%v", err)
	}
}
