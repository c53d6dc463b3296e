// Package interop holds tests of package submission against real servers, over
// loopback.
//
// Most tests run against Postfix (with Dovecot's SASL and with Cyrus SASL) and
// Dovecot's submission service, with POP3 to read back byte for byte what was
// delivered, and two proxies on the way. Dovecot's LMTP is tried over a Unix socket
// and over TCP. Tokens are judged by an endpoint of the tests' own.
//
// TestConformance runs one table of cases against many servers; docs/servers.md
// shows which. A server declares what it offers, how it is started and where it
// keeps what it accepted, in a file peer_NAME_test.go with its configuration in
// testdata. To add one, write such a file, put it into the list peers, and run
//
//	go test -run TestMatrix -update
//
// The tests need Linux and root (the servers change users), and what .ci/install
// installs on Debian 12. They fail and name what is missing. Servers that Debian
// does not install side by side are only unpacked, and run in a root directory of
// their own; others are built with Go or come from npm.
//
// All servers run with configurations of our own in a temporary directory and on
// free ports. Nothing outside that directory is read or written, so a mail service of
// the machine goes on undisturbed, and two runs do not meet. No name is looked up
// and nothing leaves the machine.
//
// It is a module of its own, so that `go test ./...` in the root module
// needs no server.
package interop
