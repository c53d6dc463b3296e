// Package interop holds tests of package submission against real servers:
// Postfix (with Dovecot's SASL and with Cyrus SASL) and Dovecot's submission
// service, over loopback, with POP3 to read back octet for octet what was
// delivered, and two proxies on the way. Tokens are judged by an endpoint of the
// tests' own.
//
// The tests need Linux, root (Postfix changes users) and these packages of
// Debian or one of its relatives; they fail and name what is missing:
//
//	apt-get install postfix dovecot-core dovecot-submissiond dovecot-pop3d sasl2-bin libsasl2-modules microsocks tinyproxy
//
// The installed servers are used with configurations of our own in a temporary
// directory and on free ports. Nothing outside that directory is read or
// written, so a mail service of the machine goes on undisturbed, and two runs
// do not meet. No name is looked up and nothing leaves the machine.
//
// It is a module of its own, so that `go test ./...` in the root module
// needs no server.
package interop
