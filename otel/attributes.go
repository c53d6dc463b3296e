package otelsubmission

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"strconv"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/fe022423/submission"
)

// serverAttributes tells which server a session is with; nothing when there is none.
func serverAttributes(s submission.SessionInfo) []attribute.KeyValue {
	if s.ID == 0 {
		return nil
	}
	list := make([]attribute.KeyValue, 0, 8)
	host, port, err := net.SplitHostPort(s.Addr)
	if n, bad := strconv.Atoi(port); err == nil && bad == nil {
		list = append(list, semconv.ServerAddress(host), semconv.ServerPort(n))
	} else {
		list = append(list, semconv.ServerAddress(s.Addr))
	}
	switch {
	case strings.HasPrefix(s.Network, "tcp"):
		list = append(list, semconv.NetworkTransportTCP)
	case s.Network == "unix":
		list = append(list, semconv.NetworkTransportUnix)
	case s.Network == "pipe":
		list = append(list, semconv.NetworkTransportPipe)
	}
	return list
}

func tlsAttributes(state tls.ConnectionState) []attribute.KeyValue {
	version := strings.TrimPrefix(tls.VersionName(state.Version), "TLS ")
	return []attribute.KeyValue{
		semconv.TLSProtocolNameTLS, semconv.TLSProtocolVersion(version),
		semconv.TLSCipher(tls.CipherSuiteName(state.CipherSuite)), semconv.TLSResumed(state.DidResume),
	}
}

func authAttributes(mechanism string) []attribute.KeyValue {
	if mechanism == "" {
		return nil
	}
	return []attribute.KeyValue{attribute.String("smtp.auth.mechanism", mechanism)}
}

// outcomeOf names what became of a message.
func outcomeOf(err error) string {
	var failed *submission.SendError
	switch {
	case err == nil:
		return "sent"
	case errors.As(err, &failed):
		return failed.Outcome.String()
	}
	return submission.NotSent.String()
}

// errorAttributes has the class of an error; nothing where there is none.
func errorAttributes(err error) []attribute.KeyValue {
	if err == nil {
		return nil
	}
	return []attribute.KeyValue{semconv.ErrorTypeKey.String(classOf(err))}
}

// failureAttributes has the class of an error, and the stage at which it came.
func failureAttributes(err error) []attribute.KeyValue {
	list := errorAttributes(err)
	if stage := stageOf(err); stage != "" {
		list = append(list, attribute.String("smtp.stage", stage))
	}
	return list
}

// classOf names the class of an error in a word, out of few: the reply that refused, or
// what is found in it.
func classOf(err error) string {
	if r := replyOf(err); r != nil && r.Code >= 400 {
		return strconv.Itoa(r.Code)
	}
	for _, c := range classes {
		if c.has(err) {
			return c.name
		}
	}
	return semconv.ErrorTypeOther.Value.AsString()
}

// classes are the classes of errors without a reply, the first that fits.
var classes = []struct {
	name string
	has  func(error) bool
}{
	{"canceled", is(context.Canceled)},
	{"timeout", func(err error) bool {
		var timeout net.Error
		return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout()
	}},
	{"closed", is(submission.ErrClosed)},
	{"tls", as[*submission.TLSError]},
	{"auth", as[*submission.AuthError]},
	{"protocol", as[*submission.ProtocolError]},
	{"unsupported", is(submission.ErrUnsupported)},
	{"too_large", is(submission.ErrTooLarge)},
	{"address", func(err error) bool { return as[*submission.SenderError](err) || as[*submission.AddressError](err) }},
	{"connection", func(err error) bool {
		return as[*submission.ConnectError](err) || as[*net.OpError](err) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
	}},
}

func is(target error) func(error) bool { return func(err error) bool { return errors.Is(err, target) } }

func as[T error](err error) bool {
	var target T
	return errors.As(err, &target)
}

// replyOf returns the reply that an error is about, nil for none.
func replyOf(err error) *submission.Reply {
	var sent *submission.SendError
	var connect *submission.ConnectError
	var auth *submission.AuthError
	switch {
	case errors.As(err, &sent) && sent.Reply != nil:
		return sent.Reply
	case errors.As(err, &connect) && connect.Reply != nil:
		return connect.Reply
	case errors.As(err, &auth) && auth.Reply != nil:
		return auth.Reply
	}
	return nil
}

// stageOf names the stage at which something failed, "" when that is not known.
func stageOf(err error) string {
	var sent *submission.SendError
	var connect *submission.ConnectError
	switch {
	case errors.As(err, &sent):
		return sent.Stage.String()
	case errors.As(err, &connect):
		return connect.Stage.String()
	case as[*submission.TLSError](err):
		return submission.StageTLS.String()
	case as[*submission.AuthError](err):
		return submission.StageAuth.String()
	}
	return ""
}

// fail marks a span as failed. The text of an error names recipients, and repeats the
// server: it stays out.
func fail(span trace.Span, err error) {
	if err == nil {
		return
	}
	span.SetStatus(codes.Error, stageOf(err))
	span.SetAttributes(failureAttributes(err)...)
}
