// Package relay tries outbox/relay with real databases: SQLite, PostgreSQL and MariaDB, killed and
// started again. It is made of tests only.
package relay
