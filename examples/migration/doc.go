// Package migration holds programs that send the same mail twice: those in before with
// another library, those in after with submission. Its tests run them against a server and
// compare what arrives. The page docs/migration.md explains the differences.
//
// Each program reads where to send from its environment: MAIL_ADDR is "host:port" of a
// server with STARTTLS, MAIL_USER and MAIL_PASSWORD are the account, MAIL_CA is a PEM file
// with the certificate of the CA to trust.
//
// The tests need java and the classes of Jakarta Mail 2.0, which MAIL_CLASSPATH names if they
// are not where Debian's package has them. With -short they do without java.
package migration
