// Package otelsubmission makes OpenTelemetry spans and metrics of what a
// [submission.Client] does.
//
//	instrument := otelsubmission.New()
//	client, err := submission.New("mail.example.org", &submission.Options{Trace: instrument.Trace()})
//	...
//	stop, err := instrument.Observe(client)
//	defer stop()
//
// # Spans
//
// A message is a span of kind client, a child of the span in the context of Send, SendFunc
// or Begin. What it is made of are its children:
//
//	smtp send
//	├── smtp wait      for a session of the pool, where it had to wait for one
//	├── smtp dial      where it opened a session, or tried to
//	│   ├── smtp tls   from the start of the dial until TLS was there: connecting, the
//	│   │              greeting and STARTTLS, where there is one, are part of it
//	│   └── smtp auth  from there until the login was over
//	├── smtp envelope  MAIL, RCPT and DATA, with their replies
//	└── smtp message   from the first byte of the message until the server's verdict
//
// A message that started once more, on a fresh session, has an event "smtp restart" with the
// reason, and no spans envelope and message: only the total of both attempts is known. A
// session that is not opened for a message, but for Ping or Dial, has a span smtp dial that
// is a child of the span in the context of that call. The spans of a message are made when
// it is over.
//
// # Metrics
//
//	smtp.client.send.duration               histogram, s       of a message, from the call to its end
//	smtp.client.connection.wait_time        histogram, s       of a message, waiting for a session
//	smtp.client.connection.create_time      histogram, s       of a session that was opened, or not
//	smtp.client.connection.count            {connection}       by state: idle, used or closing
//	smtp.client.connection.max              {connection}       PoolOptions.MaxSessions
//	smtp.client.connection.server_limit     {connection}       as many as the server was seen to allow, once it has refused one
//	smtp.client.connection.pending_requests {request}          that wait for a session
//	smtp.client.message.restarts            counter, {restart} messages that started once more
//
// The last five need [Instrument.Observe]. The names are made as those of database clients
// are in the semantic conventions of OpenTelemetry, which have none for SMTP.
//
// # Attributes
//
// Those of the semantic conventions: server.address and server.port; network.transport;
// error.type; tls.protocol.name, tls.protocol.version, tls.cipher and tls.resumed. And of
// this package:
//
//	smtp.outcome                  of spans and durations of messages: sent, not sent, partly sent, outcome unknown
//	smtp.stage                    of spans that failed and of restarts: the name of the submission.Stage
//	smtp.session                  of spans: submission.SessionInfo.ID
//	smtp.session.reused           of messages: whether the session had been used before
//	smtp.recipients, smtp.bytes, smtp.attempts   of spans of messages, as in submission.SendInfo
//	smtp.auth.mechanism           of smtp auth
//	smtp.client.connection.state  of smtp.client.connection.count
//
// error.type is the code of the reply that refused, such as 550, or else one of canceled,
// timeout, closed, tls, auth, protocol, unsupported, too_large, address, connection and
// _OTHER.
//
// No attribute and no other part of a span holds an address of a sender or recipient, text
// of the server or a secret. Only counts and codes do.
package otelsubmission
