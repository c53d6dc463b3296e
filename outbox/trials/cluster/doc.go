// Package cluster tries package outbox on a cluster of three NATS servers, which are processes
// of their own, while servers and clients are killed, frozen and cut off from each other. It
// has nothing but tests.
package cluster
