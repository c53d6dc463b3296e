// Package load measures an outbox: how fast it stores and sends, beside goqite on SQLite and
// beside the disk, and what a large queue takes. It is for tests only.
package load
