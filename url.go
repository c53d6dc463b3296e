package submission

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fe022423/submission/internal/address"
	"github.com/fe022423/submission/internal/printable"
)

// ParseURL reads the address and the options of a Client from one string, for New:
//
//	smtp://user:password@mail.example.net:587   STARTTLS, which is required
//	smtps://user:password@mail.example.net      TLS from the first byte
//	lmtp://localhost:24                         LMTP, in clear text
//	lmtp:///run/dovecot/lmtp                    LMTP over a Unix socket
//
// The scheme decides the mode of TLS, whatever the port. User name and password are
// percent-decoded and become Options.Auth, a Password. After a "?" there may be
//
//	tls=starttls|implicit|opportunistic|none    another mode
//	from=sender@example.net                     Options.From
//	name=client.example.net                     Options.LocalName
//	ca=/path/of/certificates.pem                the CAs to trust, and no others
//	pin=sha256:...                              64 hexadecimal digits, see KeyPin; several may be given
//	auth=plain,login                            Password.Mechanisms
//	proxy=socks5://user:password@host:1080      or http:// or https://
//	timeout=30s                                 Timeouts.Command
//	sessions=10                                 PoolOptions.MaxSessions
//
// An unknown scheme or key, and a value that makes no sense, are an *OptionError that
// names the key. No error repeats the URL or a part of it that may be a secret.
func ParseURL(rawURL string) (addr string, o *Options, err error) {
	u, err := url.Parse(rawURL)
	switch {
	case err != nil: // which repeats it
		return "", nil, badURL("malformed; in a user name or password %, /, ?, # and @ are written %25, %2F, %3F, %23 and %40")
	case u.Opaque != "" || u.Scheme != "" && !strings.Contains(rawURL, "://"):
		return "", nil, badURL("no // after the scheme")
	case u.Fragment != "" || strings.HasSuffix(rawURL, "#"):
		return "", nil, badURL("a #, which a password has as %23")
	}
	o = new(Options)
	if addr, err = o.readPlace(u); err != nil {
		return "", nil, err
	}
	if err := o.readUser(u.User); err != nil {
		return "", nil, err
	}
	if err := o.readQuery(u); err != nil {
		return "", nil, err
	}
	return addr, o, nil
}

func badURL(text string) error { return &OptionError{"URL", errors.New(text)} }

// readPlace reads scheme, host, port and path.
func (o *Options) readPlace(u *url.URL) (addr string, err error) {
	switch u.Scheme {
	case "smtp":
		o.TLS = TLSStartTLS
	case "smtps":
		o.TLS = TLSImplicit
	case "lmtp":
		o.TLS, o.LMTP = TLSNone, true
	default:
		return "", badURL("the scheme is not smtp, smtps or lmtp")
	}
	switch {
	case u.Host == "" && o.LMTP && len(u.Path) > 1:
		return "unix:" + u.Path, nil
	case u.Hostname() == "":
		return "", badURL("no host")
	case strings.Trim(u.Path, "/") != "":
		return "", badURL("a path after the host")
	}
	if _, _, err := address.SplitHostPort(u.Host); err != nil {
		return "", badURL("the host or the port is malformed")
	}
	return u.Host, nil
}

// readUser reads user name and password.
func (o *Options) readUser(user *url.Userinfo) error {
	if user == nil {
		return nil
	}
	password, given := user.Password()
	if user.Username() == "" || !given {
		return badURL("a user name without a password, or the reverse")
	}
	o.Auth = Password{Username: user.Username(), Password: password}
	return nil
}

// urlKeys read the value of a key.
var urlKeys = map[string]func(o *Options, value string) error{
	"tls": func(o *Options, value string) error {
		mode := TLSAuto
		if err := mode.UnmarshalText([]byte(value)); err != nil || mode == TLSAuto {
			return errors.New("not starttls, implicit, opportunistic or none")
		}
		o.TLS = mode
		return nil
	},
	"from": func(o *Options, value string) error { o.From = value; return nil },
	"name": func(o *Options, value string) error { o.LocalName = value; return nil },
	"ca": func(o *Options, value string) error {
		pem, err := os.ReadFile(value)
		if err != nil {
			return err
		}
		o.TLSConfig = &tls.Config{RootCAs: x509.NewCertPool()}
		if !o.TLSConfig.RootCAs.AppendCertsFromPEM(pem) {
			return errors.New("no certificate in the file, or none in PEM")
		}
		return nil
	},
	"pin": func(o *Options, value string) error {
		var pin [32]byte
		digits, ok := strings.CutPrefix(value, "sha256:")
		if n, err := hex.Decode(pin[:], []byte(digits[:min(len(digits), 2*len(pin))])); !ok || err != nil || n != len(pin) || len(digits) != 2*len(pin) {
			return errors.New("not sha256: and 64 hexadecimal digits")
		}
		o.PinnedKeys = append(o.PinnedKeys, pin)
		return nil
	},
	"auth": func(o *Options, value string) error {
		p, ok := o.Auth.(Password)
		if !ok {
			return errors.New("without a user name")
		}
		for name := range strings.SplitSeq(value, ",") {
			if name == "" {
				return errors.New("an empty name of a mechanism")
			}
			p.Mechanisms = append(p.Mechanisms, strings.ToUpper(name))
		}
		o.Auth = p
		return nil
	},
	"proxy": func(o *Options, value string) (err error) {
		u, err := url.Parse(value)
		if err != nil {
			return errors.New("not a URL")
		}
		if u.Scheme == "socks5" {
			o.Dialer, err = SOCKS5(u.Host, u.User, nil)
		} else {
			o.Dialer, err = HTTPConnect(u, nil)
		}
		return causeOfOption(err)
	},
	"timeout": func(o *Options, value string) error {
		d, err := time.ParseDuration(value)
		if err != nil || d <= 0 {
			return errors.New("not a positive duration such as 30s")
		}
		o.Timeouts.Command = d
		return nil
	},
	"sessions": func(o *Options, value string) error {
		n, err := strconv.Atoi(value)
		if err != nil || n < 1 {
			return errors.New("not a positive number")
		}
		o.Pool.MaxSessions = n
		return nil
	},
}

// causeOfOption returns the cause of an OptionError, which is named anew.
func causeOfOption(err error) error {
	if e := (*OptionError)(nil); errors.As(err, &e) {
		return e.Err
	}
	return err
}

// readQuery reads what follows the "?".
func (o *Options) readQuery(u *url.URL) error {
	values, err := url.ParseQuery(u.RawQuery)
	if err != nil { // which repeats it
		return badURL("a malformed part after the ?")
	}
	for _, key := range slices.Sorted(maps.Keys(values)) {
		read, ok := urlKeys[key]
		switch {
		case !ok && (!isWord(key) || u.User == nil && strings.Contains(u.RawQuery, "@")): // perhaps of a password
			return badURL("an unknown key after the ?, which a password has as %3F")
		case !ok:
			return &OptionError{key, errors.New("unknown key of a URL")}
		}
		if key != "pin" && len(values[key]) > 1 {
			return &OptionError{key, fmt.Errorf("given %d times", len(values[key]))}
		}
		for _, value := range values[key] {
			if value == "" {
				return &OptionError{key, errors.New("empty")}
			}
			if err := read(o, value); err != nil {
				return &OptionError{key, err}
			}
		}
	}
	return nil
}

// isWord reports whether s is a word of ASCII letters.
func isWord(s string) bool {
	return s != "" && strings.IndexFunc(s, func(r rune) bool { return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') }) < 0
}

// texts of TLSMode, in the order of its constants.
var tlsModeTexts = []string{"auto", "implicit", "starttls", "opportunistic", "none"}

// MarshalText returns auto, implicit, starttls, opportunistic or none.
func (m TLSMode) MarshalText() ([]byte, error) {
	if int(m) >= len(tlsModeTexts) {
		return nil, fmt.Errorf("unknown TLSMode %d", uint8(m))
	}
	return []byte(tlsModeTexts[m]), nil
}

// UnmarshalText reads what MarshalText returns, in any case.
func (m *TLSMode) UnmarshalText(text []byte) error {
	i := slices.Index(tlsModeTexts, strings.ToLower(string(text)))
	if i < 0 {
		return fmt.Errorf("unknown TLS mode %s: one of %s", printable.Quoted(string(text)), strings.Join(tlsModeTexts, ", "))
	}
	*m = TLSMode(i)
	return nil
}
