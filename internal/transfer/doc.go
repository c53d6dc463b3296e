// Package transfer brings one message to a server over a link. It knows the
// order of the commands, when they may share a flight, and how the octets of a
// message travel; it does not know what an address is, what an error is called,
// or what time it is.
//
// It makes no error. What the server said, how far the octets came, and why this
// side gave up, it writes into a Record. When the message is over, whoever asked
// for the transfer reads the Record and decides what became of the message.
package transfer
