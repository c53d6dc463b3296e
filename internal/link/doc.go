// Package link is one connection to a server, seen as replies that are owed. It
// is the only place that sets deadlines, watches contexts, and decides that a
// connection is broken. It knows the order of replies and no more: what a reply
// means for a message is the business of package transfer.
//
// Three rules hold for every method. A link that broke once stays broken, and
// the first reason stays. When the context of a call is done, the raw connection
// is closed at once, so that a caller who gives up is never confused with a
// server that is slow. A reply is only read when a command owes it, and it goes
// to the message that the command belonged to.
package link
