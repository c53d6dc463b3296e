package otelsubmission_test

import (
	"context"
	"fmt"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/fe022423/submission"
	otelsubmission "github.com/fe022423/submission/otel"
	"github.com/fe022423/submission/smtptest"
)

// A service sets its providers up once and uses the global ones; here the spans are kept to
// be printed.
func Example() {
	srv := smtptest.NewServer(nil)
	defer srv.Close()
	kept := tracetest.NewInMemoryExporter()
	spans := sdk.NewTracerProvider(sdk.WithSyncer(kept))

	instrument := otelsubmission.New(otelsubmission.WithTracerProvider(spans))
	client, err := submission.New(srv.Addr(), &submission.Options{TLSConfig: srv.ClientTLSConfig(), Trace: instrument.Trace()})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	stop, err := instrument.Observe(client, attribute.String("server.address", "mail.example.org"))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer stop()

	ctx, request := spans.Tracer("shop").Start(context.Background(), "order")
	env := submission.Envelope{From: "shop@example.org", To: submission.To("customer@example.net")}
	_, err = client.Send(ctx, env, strings.NewReader("Subject: Your order\r\n\r\nIt is on its way.\r\n"))
	request.End()
	fmt.Println(err)

	names := map[string]string{}
	for _, s := range kept.GetSpans() {
		names[s.SpanContext.SpanID().String()] = s.Name
	}
	for _, s := range kept.GetSpans() {
		if s.Parent.IsValid() {
			fmt.Println(names[s.Parent.SpanID().String()], ">", s.Name)
		}
	}
	// Unordered output:
	// <nil>
	// order > smtp send
	// smtp send > smtp dial
	// smtp dial > smtp tls
	// smtp send > smtp envelope
	// smtp send > smtp message
}
