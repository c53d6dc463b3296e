// Package hint words the advice in errors. It is given facts, and makes of them a
// text; it knows no session, does no I/O and decides nothing. There is a file for
// each kind of error.
//
// Hints are read at night: each says what probably is wrong and the one thing to
// try, with the name of the option. A hint must never be wrong. Where the cause is
// not certain it says "perhaps", or there is none, which is the text "". It never
// advises to give up TLS first.
package hint
