package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/fe022423/submission"
	"github.com/fe022423/submission/smtptest"
)

// job is what to send, where to and how.
type job struct {
	addr     string
	options  submission.Options
	envelope submission.Envelope
	timeout  time.Duration
	file     string
	header   bool // sender and recipients are in the header section
	message  io.Reader
	fake     *smtptest.Server // nil with a real server
}

// settings are the flags that need more than to be stored.
type settings struct {
	mode, user, mechanisms, from, to, dsn, socks, httpProxy, roots, name string
	lmtp, partial, quiet                                                 bool
	pins                                                                 [][32]byte
	given                                                                map[string]bool
}

// define defines the flags.
func (j *job) define(f *flag.FlagSet) *settings {
	s := &settings{given: map[string]bool{}}
	f.StringVar(&j.addr, "addr", "", "`host[:port]` of the server, or unix:/path; without it the server is that of SUBMISSION_URL, and\nwithout any flag and SUBMISSION_URL a fake server is started")
	f.BoolVar(&s.lmtp, "lmtp", false, "speak LMTP, as servers do that deliver into mailboxes")
	f.StringVar(&s.mode, "tls", "auto", "auto, implicit, starttls, opportunistic or none")
	f.StringVar(&s.user, "user", "", "user `name`; the password is in SUBMISSION_PASSWORD")
	f.StringVar(&s.mechanisms, "mechanisms", "", "SASL mechanisms that may be used, the best first, separated by commas")
	f.StringVar(&s.from, "from", "", "envelope sender, <> for none")
	f.StringVar(&s.to, "to", "", "recipients, separated by commas")
	f.BoolVar(&j.header, "t", false, "send to all of To, Cc and Bcc in the message, and leave Bcc out; without -from, send from Sender or From")
	f.BoolVar(&s.partial, "partial", false, "deliver although some recipients are refused")
	f.StringVar(&s.dsn, "dsn", "", "reports wanted: never, or any of success,failure,delay")
	f.StringVar(&s.socks, "socks", "", "SOCKS5 proxy, `[user:password@]host:port`")
	f.StringVar(&s.httpProxy, "http-proxy", "", "HTTP proxy, `[http[s]://][user:password@]host:port`")
	f.StringVar(&s.name, "name", "", "`host` name or address literal to greet the server with")
	f.StringVar(&j.file, "file", "-", "the message, - for standard input")
	f.StringVar(&s.roots, "ca", "", "PEM `file` of certificates to trust instead of the system's")
	f.Func("pin", "trust the server whose public key has this SHA-256, `[sha256:]hex`, and no other; may be repeated", s.addPin)
	f.DurationVar(&j.timeout, "timeout", 0, "give up after this `time`, such as 30s; 0 is never")
	f.BoolVar(&s.quiet, "quiet", false, "do not print the session")
	return s
}

// usage is what -help says in front of the flags.
const usage = `send submits one message and says what became of it.

The server is that of -addr, or else that of the environment variable SUBMISSION_URL:
  smtps://user:password@mail.example.org?from=me@example.org
  smtp://user:password@mail.example.org:587    STARTTLS, which is required
  lmtp:///run/dovecot/lmtp                     a Unix socket
A flag goes before what the URL says; see submission.ParseURL. The flags:
`

// parseFlags makes the job. Without flags, or with -quiet alone, it is the
// demonstration, unless url, that of SUBMISSION_URL, names a server.
func parseFlags(args []string, url string) (*job, error) {
	j := &job{}
	f := flag.NewFlagSet("send", flag.ExitOnError)
	f.Usage = func() {
		fmt.Fprint(f.Output(), usage)
		f.PrintDefaults()
	}
	s := j.define(f)
	f.Parse(args)
	f.Visit(func(given *flag.Flag) { s.given[given.Name] = true })
	if f.NArg() > 0 {
		return nil, fmt.Errorf("%q is not a flag; see -help", f.Arg(0))
	}
	if delete(s.given, "quiet"); len(s.given) == 0 && url == "" {
		j.demonstrate()
	} else if err := j.fill(s, url); err != nil {
		return nil, err
	}
	if !s.quiet {
		j.options.Trace = printSession()
	}
	return j, nil
}

// fill fills the job in for a real server.
func (j *job) fill(s *settings, url string) error {
	if !s.given["addr"] && url != "" {
		addr, options, err := submission.ParseURL(url)
		if err != nil {
			return fmt.Errorf("SUBMISSION_URL: %w", err)
		}
		j.addr, j.options = addr, *options
	}
	if err := j.check(s); err != nil {
		return err
	}
	if s.given["tls"] && j.options.TLS.UnmarshalText([]byte(s.mode)) != nil {
		return fmt.Errorf("-tls %q is none of auto, implicit, starttls, opportunistic, none", s.mode)
	}
	if s.given["lmtp"] {
		j.options.LMTP = s.lmtp
	}
	if s.given["name"] {
		j.options.LocalName = s.name
	}
	if s.given["pin"] {
		j.options.PinnedKeys = s.pins
	}
	if s.user != "" {
		j.options.Auth = s.password()
	}
	j.envelope.From, j.envelope.Partial = s.from, s.partial
	if s.to != "" {
		j.envelope.To = submission.To(strings.Split(s.to, ",")...)
	}
	return errors.Join(j.setDSN(s.dsn), j.setProxy(s.socks, s.httpProxy), j.setRoots(s.roots))
}

// check checks what the flags say together.
func (j *job) check(s *settings) error {
	switch {
	case j.addr == "":
		return errors.New("there is no -addr and no SUBMISSION_URL to send to; see -help")
	case !s.given["addr"] && !s.given["to"] && !j.header: // perhaps it was meant to be the demonstration
		return errors.New("there is no -to, and no -t; see -help")
	case s.given["mechanisms"] && s.user == "":
		return errors.New("-mechanisms needs -user")
	case j.header && s.given["to"]:
		return errors.New("-t takes the recipients from the message, so there can be no -to")
	case s.socks != "" && s.httpProxy != "":
		return errors.New("-socks and -http-proxy exclude each other")
	case j.timeout < 0:
		return errors.New("-timeout must not be negative")
	}
	return nil
}

func (s *settings) password() submission.Password {
	p := submission.Password{Username: s.user, Password: os.Getenv("SUBMISSION_PASSWORD")}
	if s.mechanisms != "" {
		p.Mechanisms = strings.Split(s.mechanisms, ",")
	}
	return p
}

// addPin adds the key of -pin.
func (s *settings) addPin(pin string) error {
	digits := pin
	if kind, rest, ok := strings.Cut(pin, ":"); ok && strings.EqualFold(kind, "sha256") {
		digits = rest
	}
	var sum [32]byte
	if len(digits) != hex.EncodedLen(len(sum)) {
		return fmt.Errorf("a SHA-256 has %d hexadecimal digits", hex.EncodedLen(len(sum)))
	}
	if _, err := hex.Decode(sum[:], []byte(digits)); err != nil {
		return err
	}
	s.pins = append(s.pins, sum)
	return nil
}

func (j *job) setDSN(events string) error {
	names := map[string]submission.Notify{
		"never": submission.NotifyNever, "success": submission.NotifySuccess,
		"failure": submission.NotifyFailure, "delay": submission.NotifyDelay,
	}
	for event := range strings.SplitSeq(events, ",") {
		bit, ok := names[event]
		if !ok && events != "" {
			return fmt.Errorf("-dsn: unknown event %q", event)
		}
		j.envelope.DSN.Notify |= bit
	}
	return nil
}

// setProxy makes the dialer. Its errors do not repeat the proxy, which may have a
// password in it.
func (j *job) setProxy(socks, http string) (err error) {
	switch {
	case socks != "":
		u, err := url.Parse("socks5://" + socks)
		if err != nil {
			return errors.New("-socks is not [user:password@]host:port")
		}
		j.options.Dialer, err = submission.SOCKS5(u.Host, u.User, nil)
		return err
	case http != "":
		if !strings.Contains(http, "://") {
			http = "http://" + http
		}
		u, err := url.Parse(http)
		if err != nil {
			return errors.New("-http-proxy is not [http[s]://][user:password@]host:port")
		}
		j.options.Dialer, err = submission.HTTPConnect(u, nil)
		return err
	}
	return nil
}

func (j *job) setRoots(file string) error {
	if file == "" {
		return nil
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return fmt.Errorf("-ca: no certificate in %s", file)
	}
	j.options.TLSConfig = &tls.Config{RootCAs: pool}
	return nil
}

func (j *job) close() {
	if j.fake != nil {
		j.fake.Close()
	}
}
