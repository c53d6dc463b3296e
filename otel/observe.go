package otelsubmission

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/fe022423/submission"
)

// state is the attribute that tells sessions of a pool apart.
const state = attribute.Key("smtp.client.connection.state")

// Observe reads Client.Stats of c whenever metrics are collected, until stop is called.
// attributes are added to each of these metrics. With several Clients they must tell the
// Clients apart, for instance by server.address. Call stop when the Client is closed. The
// errors of Observe and of stop are those of the meter.
func (i *Instrument) Observe(c *submission.Client, attributes ...attribute.KeyValue) (stop func() error, err error) {
	var made observables
	if err := made.make(i.meter); err != nil {
		return nil, err
	}
	with := func(more ...attribute.KeyValue) metric.ObserveOption {
		return metric.WithAttributeSet(attribute.NewSet(append(more, attributes...)...))
	}
	idle, used, closing, all := with(state.String("idle")), with(state.String("used")), with(state.String("closing")), with()
	registration, err := i.meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		s := c.Stats()
		o.ObserveInt64(made.count, int64(s.Idle), idle)
		o.ObserveInt64(made.count, int64(s.InUse), used)
		o.ObserveInt64(made.count, int64(s.Open-s.Idle-s.InUse), closing)
		o.ObserveInt64(made.most, int64(s.MaxSessions), all)
		if s.Bound > 0 {
			o.ObserveInt64(made.limit, int64(s.Bound), all)
		}
		o.ObserveInt64(made.pending, int64(s.Waiting), all)
		o.ObserveInt64(made.restarts, int64(s.Restarts), all)
		return nil
	}, made.count, made.most, made.limit, made.pending, made.restarts)
	if err != nil {
		return nil, err
	}
	return registration.Unregister, nil
}

// observables are the metrics that are asked for.
type observables struct {
	count, most, limit, pending metric.Int64ObservableUpDownCounter
	restarts                    metric.Int64ObservableCounter
}

func (o *observables) make(m metric.Meter) (err error) {
	for _, i := range []struct {
		made                    *metric.Int64ObservableUpDownCounter
		name, unit, description string
	}{
		{&o.count, "smtp.client.connection.count", "{connection}", "The number of sessions that are in the state described by the state attribute."},
		{&o.most, "smtp.client.connection.max", "{connection}", "The maximum number of open sessions allowed."},
		{&o.limit, "smtp.client.connection.server_limit", "{connection}", "The number of sessions that the server was seen to allow."},
		{&o.pending, "smtp.client.connection.pending_requests", "{request}", "The number of messages that wait for a session."},
	} {
		if *i.made, err = m.Int64ObservableUpDownCounter(i.name, metric.WithUnit(i.unit), metric.WithDescription(i.description)); err != nil {
			return err
		}
	}
	o.restarts, err = m.Int64ObservableCounter("smtp.client.message.restarts", metric.WithUnit("{restart}"),
		metric.WithDescription("The number of messages that started once more, on a fresh session."))
	return err
}
