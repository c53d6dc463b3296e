// Package syntax parses what a client says: the arguments of MAIL, RCPT and BDAT,
// their paths and parameters, and the line ends of a message. It knows the grammar
// of RFC 5321 and of the extensions, but no session.
package syntax
