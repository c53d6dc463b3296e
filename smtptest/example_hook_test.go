package smtptest_test

import (
	"errors"
	"fmt"
	"net/textproto"
	"time"

	"github.com/fe022423/submission/smtptest"
)

// try notifies some customers and prints what became of it.
func try(h smtptest.Hook, to ...string) {
	srv := smtptest.NewServer(&smtptest.Config{TLS: smtptest.NoTLS, Hook: h})
	defer srv.Close()
	for _, addr := range to {
		fmt.Println(addr, code(notifier{srv.Addr()}.notify(addr)))
	}
}

// code is that of the reply that refused a message, 250 if it was sent.
func code(err error) int {
	var refused *textproto.Error
	if errors.As(err, &refused) {
		return refused.Code
	}
	return 250
}

func ExampleOn() {
	try(smtptest.On("RCPT", "full@example.net", "452 4.2.2 mailbox full"), "full@example.net", "anna@example.net")
	// Output:
	// full@example.net 452
	// anna@example.net 250
}

// The first two messages are refused, whoever sends them.
func ExampleTimes() {
	try(smtptest.Times(2, smtptest.On("MESSAGE", "", "451 4.3.0 later")), "anna@example.net", "bela@example.net", "carl@example.net")
	// Output:
	// anna@example.net 451
	// bela@example.net 451
	// carl@example.net 250
}

// A reply that is late: longer than the program waits, if the test gives it less time.
func ExampleDelay() {
	try(smtptest.Delay(10*time.Millisecond, smtptest.On("MAIL", "", "250 2.1.0 at last")), "anna@example.net")
	// Output: anna@example.net 250
}

func ExampleFirst() {
	try(smtptest.First(
		smtptest.On("RCPT", "gone@example.net", "550 5.1.1 gone"),
		smtptest.Times(1, smtptest.On("RCPT", "", "450 4.2.1 busy")),
	), "gone@example.net", "anna@example.net", "anna@example.net")
	// Output:
	// gone@example.net 550
	// anna@example.net 450
	// anna@example.net 250
}

// With an hour in place of 0, testing/synctest lets the hour pass at once.
func ExampleGreylist() {
	try(smtptest.Greylist(0), "anna@example.net", "anna@example.net")
	// Output:
	// anna@example.net 451
	// anna@example.net 250
}

// The hook changes between two parts of a test.
func ExampleServer_SetHook() {
	srv := smtptest.NewServer(&smtptest.Config{TLS: smtptest.NoTLS})
	defer srv.Close()
	n := notifier{srv.Addr()}

	fmt.Println(code(n.notify("anna@example.net")))
	srv.SetHook(smtptest.On("CONNECT", "", "421 4.3.2 closed for today"))
	fmt.Println(code(n.notify("anna@example.net")))
	srv.SetHook(nil)
	fmt.Println(code(n.notify("anna@example.net")))
	// Output:
	// 250
	// 421
	// 250
}
