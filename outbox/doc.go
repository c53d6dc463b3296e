// Package outbox is a durable queue for mail in front of package submission: put a message
// into it now, and it is sent later, with retries, also if the process or the machine ends in
// between. It is kept by NATS JetStream: by a server in this process, in a directory, or by a
// cluster.
//
// # What is promised
//
// Never lost. Never twice, unless you choose to resend what is uncertain. What is uncertain is
// held, counted and listed.
//
// SMTP cannot give more: between the last byte of a message and the verdict of the server only
// the server knows whether it accepted the message. If the process dies in that moment the
// message becomes uncertain: at most one for each worker that was busy. Policy says what
// happens to it then.
//
// The messages lie on the disk as they are, readable by who can read the directory.
package outbox
