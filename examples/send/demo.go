package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"strings"
	"time"

	"github.com/fe022423/submission"
	"github.com/fe022423/submission/smtptest"
)

// demoMessage is a small MIME message with what transports like to break: a
// line that begins with a dot, a line that is a dot, and 8-bit text.
const demoMessage = `From: Shop <shop@example.org>
To: Customer <customer@example.net>
Subject: Your order
Message-ID: <order-1@example.org>
Date: Wed, 25 Nov 2026 12:00:00 +0000
MIME-Version: 1.0
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: 8bit

Your order of one café crème is on its way.
.
..two dots, and the line above is a single one.
`

// demonstrate fills the job in for a server of our own.
func (j *job) demonstrate() {
	j.fake = smtptest.NewServer(&smtptest.Config{Accounts: map[string]string{"shop": "a secret"}})
	j.addr = j.fake.Addr()
	j.options.TLSConfig = j.fake.ClientTLSConfig()
	j.options.Auth = submission.Password{Username: "shop", Password: "a secret"}
	j.envelope = submission.Envelope{From: "shop@example.org", To: submission.To("customer@example.net")}
	j.message = strings.NewReader(demoMessage)
}

// showArrived prints what the fake server got.
func (j *job) showArrived() {
	if j.fake == nil {
		return
	}
	for _, m := range j.fake.Messages() {
		fmt.Printf("\nArrived from %s for %s, submitted by %s, over TLS: %v\n\n%s", m.From, strings.Join(m.To, " "), m.Auth, m.TLS, m.Data)
	}
}

// printSession prints the protocol as it goes. Secrets never reach a Trace.
func printSession() *submission.Trace {
	return &submission.Trace{
		DialStart: func(_ context.Context, addr string) { fmt.Printf("-- to %s\n", addr) },
		TLSDone: func(_ context.Context, _ submission.SessionInfo, st tls.ConnectionState) {
			fmt.Printf("-- %s, %s\n", tls.VersionName(st.Version), tls.CipherSuiteName(st.CipherSuite))
		},
		Sent:     func(_ context.Context, _ submission.SessionInfo, line string) { fmt.Println("C:", line) },
		Received: func(_ context.Context, _ submission.SessionInfo, r submission.Reply) { printReply(r) },
		Done: func(_ context.Context, i submission.SendInfo) {
			fmt.Printf("-- message of %d bytes to %d recipients, %v\n", i.Bytes, i.Recipients, time.Since(i.Started).Round(time.Millisecond))
		},
	}
}

// printReply prints the lines of a reply with their codes, as they came.
func printReply(r submission.Reply) {
	for i, line := range r.Lines {
		sep := "-"
		if i == len(r.Lines)-1 {
			sep = " "
		}
		one := submission.Reply{Code: r.Code, Lines: []string{line}}
		fmt.Println("S:", strings.Replace(one.String(), " ", sep, 1))
	}
}
