// Package smtptest helps to test programs that send mail, in the manner of
// net/http/httptest. It has three tools and needs no network but the loopback.
//
// # Server
//
// [New] starts a server for one test. The program under test is told where it is, and sends;
// the test takes what arrived.
//
//	func TestOrder(t *testing.T) {
//		srv := smtptest.New(t, nil)
//		shop := newShop(srv.URL()) // the program under test
//		shop.order("customer@example.net")
//
//		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
//		defer cancel()
//		m, err := srv.Next(ctx) // waits, since the shop sends when it likes to
//		if err != nil {
//			t.Fatal(err) // says what came and what was last said
//		}
//		letter, err := m.Parse()
//		if err != nil {
//			t.Fatal(err)
//		}
//		if m.To[0] != "customer@example.net" || letter.Subject != "Your order" {
//			t.Errorf("to %v: %s", m.To, letter.Subject)
//		}
//	}
//
// When the test fails, its log has all that was said, with the number of the session in
// front of each line. [Server.Wait] waits for a number of messages, [Server.Messages] does
// not wait, [Server.Reset] begins anew. [Server.URL] is all that a program needs which reads
// its settings by submission.ParseURL; other programs take [Server.Addr] and trust
// [Server.ClientTLSConfig] or, in another process, [Server.CertificatePEM].
//
// # When mail fails
//
// A [Hook] may answer any command instead of the server: refuse it, delay it, hang up, or
// send nonsense. Most hooks are made of a few parts.
//
//	srv.SetHook(smtptest.On("RCPT", "gone@example.net", "550 5.1.1 no such user"))
//	srv.SetHook(smtptest.Times(2, smtptest.On("MAIL", "", "451 4.3.0 later")))
//	srv.SetHook(smtptest.Delay(time.Minute, smtptest.On("DATA", "", "421 4.3.2 closing")))
//	srv.SetHook(smtptest.Greylist(5 * time.Minute))
//
// [First] joins several. What they cannot say is a function:
//
//	srv.SetHook(func(c smtptest.Command) *smtptest.Answer {
//		if c.Verb == "MESSAGE" && len(c.Message.To) > 100 {
//			return &smtptest.Answer{Reply: "550 5.7.1 too many at once"}
//		}
//		return nil // the server answers
//	})
//
// [Server.Stop] is a crash: sessions are cut, and connections refused, until [Server.Start]
// takes the server up again on the same port.
//
//	srv.Stop()
//	shop.order("customer@example.net") // must not get lost
//	srv.Start()
//	m, err := srv.Next(ctx)
//
// # Time
//
// The server works in a bubble of testing/synctest, where an hour passes at once. Call New in
// the bubble, and let the program connect by [Server.DialContext], which needs no socket:
// the Server itself is a submission.Dialer. A bubble cannot wait for what comes over a real
// socket, so call neither Addr nor URL there.
//
//	synctest.Test(t, func(t *testing.T) {
//		srv := smtptest.New(t, &smtptest.Config{Hook: smtptest.Greylist(time.Hour)})
//		client, err := submission.New("mail.test.example", &submission.Options{
//			Dialer: srv, TLSConfig: srv.ClientTLSConfig()})
//		...
//		time.Sleep(time.Hour)
//		...
//	})
//
// # What the server speaks
//
// EHLO, STARTTLS, AUTH, PIPELINING, DATA, BDAT, and the parameters of DSN, SIZE,
// 8BITMIME, SMTPUTF8, REQUIRETLS, MT-PRIORITY, FUTURERELEASE, DELIVERBY and RRVS. It
// authenticates its Config.Accounts by PLAIN, LOGIN, DIGEST-MD5, CRAM-MD5, SCRAM with and
// without channel binding, NTLM, XOAUTH2 and OAUTHBEARER; EXTERNAL and ANONYMOUS need no
// account. With Config.LMTP it speaks LMTP, with Config.Network "unix" over a Unix socket.
//
// The server holds the program to the protocol. What a lenient server would let pass,
// and another one would not, it refuses, and its transcript has a line that begins
// with "-- protocol:", after the number of its session, and says what the program did wrong:
//
//	554  sent before the greeting; the session ends                  LenientGreeting
//	503  sent before the last reply, though PIPELINING is not
//	     offered; the session ends                                   LenientPipelining
//	503  sent after DATA without waiting for its reply; the session
//	     ends                                                        LenientData
//	554  8-bit bytes in a message, though 8BITMIME is not offered,
//	     or MAIL had BODY=7BIT                                       Lenient8BitMIME
//	554  8-bit bytes in the header section, though MAIL had no
//	     SMTPUTF8                                                    LenientSMTPUTF8
//	538  PLAIN or LOGIN in clear text, though STARTTLS is offered    LenientClearText
//
// The field of Config on the right allows it. Where the session ends, the server cannot
// know any more what the next bytes are. It answers the command that was sent too
// early with that reply, without asking the Hook, and hangs up.
//
// Over a [Server.Pipe] the server knows what the client had read when it wrote, and
// finds everything that was sent too early, in however many writes it came. Over a
// socket it finds what comes together with the command before, or within about 2 ms
// after it. It never takes for early what was not.
//
// [Server.Transcript], [Server.RoundTrips] and [Server.Sessions] tell what the
// client did. [Server.Pipe] opens one session without a socket.
//
// # Play
//
// [Play] is the other end of one connection. It sends and expects exactly what a
// script says:
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
// A script is a list of lines. White space at the start of a line does not count.
// Empty lines and lines that begin with # do not count either.
//
//	S: text     the server sends text and CRLF
//	S> text     the server sends text and nothing else; the escapes of a Go string
//	            (\r \n \t \\ \x00) stand for their bytes
//	S! text     like S:, but the client did not ask for it and may continue, or close,
//	            without reading it
//	C: text     the client must send text and CRLF
//	C> text     the client must send text and nothing else, with escapes as in S>
//	C* N        the client must send N bytes, whatever they are
//	eof         the client must close the connection now
//	stall       the server says nothing any more; the client may wait. It may send
//	            what the C lines after this one say or, if there are none, anything
//	close       the server hangs up: the client reads EOF after what was sent
//	reset       the same, but the client reads ECONNRESET, and its writes give EPIPE
//	deliver whole    from here on each S line arrives in a segment of its own,
//	                 which no Read joins with another; this is the default
//	deliver bytes    each byte arrives in a segment of its own
//	deliver joined   S lines that follow each other arrive in one segment
//
// The client must send all C lines that follow each other before it waits for a
// reply: a client that waits in between, in lockstep instead of in one flight, is
// reported. A client is also reported if it sends what comes after an S line before
// it has read all of that line. A report shows the line of the script, what the client had to
// do there, and what it did.
//
// A client that closes must have read something of each S: and S> line that the script
// came to, or it is reported: it has not read its verdict. It may close in the middle
// of a line, where it can have seen that the line makes no sense. Write S! for what it
// may leave unread.
//
// A client may look at any time whether something is there: with the method
// InputWaiting of the connection, or with a read whose deadline is less than 10 ms
// away.
//
// # Fault
//
// [Fault] wraps a connection and makes it fail after a number of bytes, counted in
// either direction. With the counts of a good session a test can cut the next ones
// at every byte.
package smtptest
