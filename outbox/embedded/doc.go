// Package embedded lets package outbox keep its queue in a directory, by a NATS server in this
// process that listens nowhere. Import it for that effect, and set outbox.Options.Dir.
package embedded
