// Package smtptest helps to test programs that send mail, in the manner of
// net/http/httptest. It has three tools and needs no network but the loopback.
//
// # Server
//
// [NewServer] starts an SMTP server that knows the protocol and keeps to it:
// EHLO, STARTTLS, AUTH, PIPELINING, DATA, BDAT, and the parameters of DSN, SIZE,
// 8BITMIME, SMTPUTF8 and REQUIRETLS. It authenticates its Config.Accounts by
// PLAIN, LOGIN, DIGEST-MD5, CRAM-MD5, SCRAM with and without channel binding,
// NTLM, XOAUTH2 and OAUTHBEARER; EXTERNAL and ANONYMOUS need no account.
//
//	srv := smtptest.NewServer(&smtptest.Config{
//		Accounts: map[string]string{"user": "secret"},
//	})
//	defer srv.Close()
//	// ... have the program send to srv.Addr(), trusting srv.ClientTLSConfig() ...
//	for _, m := range srv.Messages() {
//		t.Logf("from %s to %v: %s", m.From, m.To, m.Data)
//	}
//
// What happens when mail fails is a matter of Config.Hook, which may answer any
// command in the server's stead: refuse it, delay it, hang up, talk rubbish.
//
//	Hook: func(c smtptest.Command) *smtptest.Answer {
//		if c.Verb == "RCPT" && strings.Contains(c.Line, "<nobody@") {
//			return &smtptest.Answer{Reply: "550 5.1.1 no such mailbox"}
//		}
//		return nil
//	},
//
// [Server.Transcript], [Server.RoundTrips] and [Server.Sessions] tell how the
// client went about it. [Server.Pipe] is a session without a socket, for
// testing/synctest.
//
// # Play
//
// [Play] is the other end of one connection, and it says and expects exactly
// what a script lays down:
//
//	nc := smtptest.Play(t, `
//		S: 220 mail.test.example
//		C: EHLO client.example
//		S: 250 mail.test.example
//		C: QUIT
//		S: 221 bye
//		eof
//	`)
//
// A script is a list of lines. White space in front of them does not count, nor
// do empty lines and those that begin with #.
//
//	S: text     the server sends text and CRLF
//	S> text     it sends text, in which the escapes of a Go string are resolved
//	            (\r \n \t \\ \x00), and nothing else
//	S! text     as S:, but unasked for: the client may go on without reading it
//	C: text     the client must send text and CRLF
//	C> text     it must send text, escapes resolved, and nothing else
//	C* N        it must send N octets, whatever they are
//	eof         it must close now
//	stall       the server says nothing any more; the client may wait, and send
//	            what the C lines that follow say or, without any, what it likes
//	close       the server hangs up: the client reads EOF behind what was sent
//	reset       the same, but it reads ECONNRESET, and its writes give EPIPE
//	deliver whole    from here on each S line arrives in a segment of its own,
//	                 which no Read joins with another; this is the default
//	deliver bytes    each octet does
//	deliver joined   S lines that follow each other arrive in one segment
//
// C lines that follow each other must be sent before the client reads: a client
// that waits in between, a lockstep where a flight is demanded, is reported. So
// is one that sends what stands behind an S line before it has read that line
// to its end. A client may look at any time whether something is there: with the
// method InputWaiting of the connection, or with a read whose deadline is less than
// 10 ms away.
//
// # Fault
//
// [Fault] wraps a connection that fails after a number of octets, counted in
// either direction. With the counts of a good session a test can cut the next
// ones at every octet.
package smtptest
