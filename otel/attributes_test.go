package otelsubmission

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"
	"testing"

	"go.opentelemetry.io/otel/attribute"

	"github.com/fe022423/submission"
)

// Held is how many sends and openings the Instrument keeps something of.
func (i *Instrument) Held() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return len(i.messages) + len(i.openings)
}

func TestServerAttributes(t *testing.T) {
	for _, tt := range []struct{ network, addr, want string }{
		{"tcp", "mail.test.example:587", "server.address=mail.test.example,server.port=587,network.transport=tcp"},
		{"tcp", "192.0.2.1:25", "server.address=192.0.2.1,server.port=25,network.transport=tcp"},
		{"tcp6", "[2001:db8::1]:465", "server.address=2001:db8::1,server.port=465,network.transport=tcp"},
		{"unix", "/run/lmtp:24", "server.address=/run/lmtp,server.port=24,network.transport=unix"},
		{"unix", "/run/lmtp", "server.address=/run/lmtp,network.transport=unix"},
		{"pipe", "mail.test.example", "server.address=mail.test.example,network.transport=pipe"},
		{"", "mail.test.example:587", "server.address=mail.test.example,server.port=587"},
		{"ssh", "mail.test.example:587", "server.address=mail.test.example,server.port=587"},
	} {
		got := ""
		for _, a := range serverAttributes(submission.SessionInfo{ID: 1, Network: tt.network, Addr: tt.addr}) {
			if got != "" {
				got += ","
			}
			got += fmt.Sprintf("%s=%s", a.Key, a.Value.String())
		}
		if got != tt.want {
			t.Errorf("%s %s: %s, want %s", tt.network, tt.addr, got, tt.want)
		}
	}
	if got := serverAttributes(submission.SessionInfo{}); got != nil {
		t.Errorf("no session has %v", got)
	}
}

// The class of each kind of error, in the order in which they are looked for.
func TestErrorClasses(t *testing.T) {
	reply := &submission.Reply{Code: 550}
	sent := func(err error) error { return &submission.SendError{Err: err} }
	for _, tt := range []struct {
		err         error
		want, stage string
	}{
		{&submission.SendError{Reply: reply, Stage: submission.StageRcpt, Err: context.Canceled}, "550", "RCPT"},
		{&submission.SendError{Reply: &submission.Reply{Code: 250}, Err: io.EOF}, "connection", "dial"},
		{&submission.ConnectError{Reply: reply, Stage: submission.StageGreeting}, "550", "greeting"},
		{&submission.AuthError{Reply: reply}, "550", "AUTH"},
		{sent(&submission.AuthError{Reply: reply}), "550", "dial"},
		{sent(fmt.Errorf("given up: %w", context.Canceled)), "canceled", "dial"},
		{sent(context.DeadlineExceeded), "timeout", "dial"},
		{&submission.ConnectError{Err: os.ErrDeadlineExceeded}, "timeout", "dial"},
		{sent(submission.ErrClosed), "closed", "dial"},
		{&submission.TLSError{Err: x509.UnknownAuthorityError{}}, "tls", "TLS handshake"},
		{&submission.AuthError{Err: errors.New("no mechanism")}, "auth", "AUTH"},
		{sent(&submission.ProtocolError{}), "protocol", "dial"},
		{&submission.ConnectError{Err: submission.ErrUnsupported}, "unsupported", "dial"},
		{sent(submission.ErrTooLarge), "too_large", "dial"},
		{sent(&submission.SenderError{Err: errors.New("no mailbox")}), "address", "dial"},
		{sent(&submission.AddressError{Err: errors.New("no mailbox")}), "address", "dial"},
		{&submission.ConnectError{Err: errors.New("no route")}, "connection", "dial"},
		{sent(io.ErrUnexpectedEOF), "connection", "dial"},
		{errors.New("something"), "_OTHER", ""},
	} {
		if got, stage := classOf(tt.err), stageOf(tt.err); got != tt.want || stage != tt.stage {
			t.Errorf("%T %v: %s at %q, want %s at %q", tt.err, tt.err, got, stage, tt.want, tt.stage)
		}
	}
	if errorAttributes(nil) != nil || outcomeOf(nil) != "sent" || outcomeOf(errors.New("x")) != "not sent" {
		t.Error("no error is one")
	}
	if got := errorAttributes(io.EOF); len(got) != 1 || got[0] != attribute.String("error.type", "connection") {
		t.Errorf("%v", got)
	}
}
