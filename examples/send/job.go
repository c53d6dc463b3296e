package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"

	"github.com/fe022423/submission"
	"github.com/fe022423/submission/smtptest"
)

// job is what to send, where to and how.
type job struct {
	addr     string
	options  submission.Options
	envelope submission.Envelope
	message  io.Reader
	file     *os.File
	fake     *smtptest.Server // nil with a real server
}

var tlsModes = map[string]submission.TLSMode{
	"auto":          submission.TLSAuto,
	"implicit":      submission.TLSImplicit,
	"starttls":      submission.TLSStartTLS,
	"opportunistic": submission.TLSOpportunistic,
	"none":          submission.TLSNone,
}

// parseFlags makes the job; without arguments it is the demonstration.
func parseFlags(args []string) (*job, error) {
	j := &job{}
	f := flag.NewFlagSet("send", flag.ExitOnError)
	f.StringVar(&j.addr, "addr", "", "`host[:port]` of the server; without it a fake server is started")
	mode := f.String("tls", "auto", "auto, implicit, starttls, opportunistic or none")
	user := f.String("user", "", "user `name`; the password is in SUBMISSION_PASSWORD")
	from := f.String("from", "", "envelope sender, <> for none")
	to := f.String("to", "", "recipients, separated by commas")
	partial := f.Bool("partial", false, "deliver although some recipients are refused")
	dsn := f.String("dsn", "", "reports wanted: never, or any of success,failure,delay")
	socks := f.String("socks", "", "SOCKS5 proxy, `[user:password@]host:port`")
	file := f.String("file", "-", "the message, - for standard input")
	roots := f.String("ca", "", "PEM `file` of certificates to trust instead of the system's")
	quiet := f.Bool("quiet", false, "do not print the session")
	f.Parse(args)
	if !*quiet {
		j.options.Trace = printSession()
	}
	if j.addr == "" {
		if len(args) > 0 && !*quiet || f.NArg() > 0 {
			return nil, errors.New("flags for a real server need -addr; see -help")
		}
		j.demonstrate()
		return j, nil
	}
	var known bool
	if j.options.TLS, known = tlsModes[*mode]; !known {
		return nil, fmt.Errorf("-tls %q is none of auto, implicit, starttls, opportunistic, none", *mode)
	}
	if *user != "" {
		j.options.Auth = submission.Password{Username: *user, Password: os.Getenv("SUBMISSION_PASSWORD")}
	}
	j.envelope.From, j.envelope.Partial = *from, *partial
	if *to != "" {
		j.envelope.To = submission.To(strings.Split(*to, ",")...)
	}
	return j, errors.Join(j.setDSN(*dsn), j.setSOCKS(*socks), j.setRoots(*roots), j.open(*file))
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

func (j *job) setSOCKS(proxy string) error {
	if proxy == "" {
		return nil
	}
	u, err := url.Parse("socks5://" + proxy)
	if err != nil {
		return errors.New("-socks is not [user:password@]host:port")
	}
	j.options.Dialer, err = submission.SOCKS5(u.Host, u.User, nil)
	return err
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

func (j *job) open(file string) (err error) {
	if file == "-" {
		j.message = os.Stdin
		return nil
	}
	j.file, err = os.Open(file)
	j.message = j.file
	return err
}

func (j *job) close() {
	if j.file != nil {
		j.file.Close()
	}
	if j.fake != nil {
		j.fake.Close()
	}
}
