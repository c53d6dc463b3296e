//go:build linux

package interop

import (
	"bytes"
	"context"
	"crypto/sha1"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// mailpit is Mailpit, the catcher of test mail: one process that begins in clear and
// one with implicit TLS, for it has no more than one port.
var mailpit = peer{
	name:    "Mailpit",
	program: "Mailpit 1.33.1, Go module github.com/axllent/mailpit",
	offers: offers{
		clear: yes(""), startTLS: yes(""), implicitTLS: yes(""),
		mechanisms: []string{"PLAIN", "LOGIN"},
		logins:     []string{"PLAIN", "LOGIN"},
		extensions: []string{"SIZE", "ENHANCEDSTATUSCODES", "8BITMIME", "SMTPUTF8"},
		sizeLimit:  1 << 20,
		octets:     yes(""),

		refusedRecipient: yes(""), tooLarge: yes(""), restart: yes(""),
		refusedSender:  no("it takes any sender"),
		busyRecipient:  no("it refuses for good alone"),
		refusedMessage: no("it refuses no content"),
		earlyData:      no("it does not offer CHUNKING"),

		recipients:     yes("452 to RCPT"),
		sessions:       no("its limit is fixed, and higher than a test can go"),
		messages:       no("it has no such limit"),
		idle:           no("its patience is fixed at five minutes"),
		literal:        no("it takes any name"),
		greetPause:     no("it greets at once"),
		slowedRefusals: no("it answers at once"),
	},
	build: func(p place) error {
		return goBuild("testdata/mailpit", "go.mod", "github.com/axllent/mailpit", p.below("mailpit"))
	},
	start:  startMailpit,
	stored: mailpitStored,
}

func startMailpit(s *station) error {
	// The sum, because a plain password could not hold a space.
	sum := sha1.Sum([]byte(password))
	logins := fmt.Sprintf("%s:{SHA}%s\n", account, base64.StdEncoding.EncodeToString(sum[:]))
	if err := os.WriteFile(s.below("logins"), []byte(logins), 0o600); err != nil {
		return err
	}
	v := s.values(s.peer)
	for _, one := range []struct {
		name, port, mode string
	}{
		{"mailpit-clear", loopback(s.Port), "--smtp-auth-allow-insecure"},
		{"mailpit-secure", loopback(s.TLSPort), "--smtp-require-tls"},
	} {
		err := s.crew.start(one.name, s.below("mailpit"), one.mode, "--smtp", one.port, "--listen", "unix:"+s.below(one.name+".sock")+":600",
			"--database", s.below(one.name+".db"), "--smtp-tls-cert", s.below("cert.pem"), "--smtp-tls-key", s.below("key.pem"),
			"--smtp-auth-file", s.below("logins"), "--smtp-disable-rdns", "--disable-version-check", "--max", "0",
			"--max-message-size", strconv.FormatInt(v.SizeLimit>>20, 10), "--smtp-max-recipients", strconv.Itoa(v.MaxRecipients),
			"--smtp-allowed-recipients", "^(bob|carol|dave|r[0-9]+)@")
		if err != nil {
			return err
		}
	}
	return nil
}

// mailpitStored asks for the messages by HTTP. Mailpit adds a field Bcc in front
// with those of the envelope who are not in the header.
func mailpitStored(p place) (all []stored, err error) {
	sockets, err := filepath.Glob(p.below("mailpit-*.sock"))
	if err != nil {
		return nil, err
	}
	for _, socket := range sockets {
		web := mailpitWeb(socket)
		text, err := web.call(http.MethodGet, "/api/v1/messages?limit=1000", nil)
		if err != nil {
			return nil, err
		}
		var list struct{ Messages []struct{ ID string } }
		if err := json.Unmarshal(text, &list); err != nil {
			return nil, err
		}
		for _, m := range list.Messages {
			raw, err := web.call(http.MethodGet, "/api/v1/message/"+m.ID+"/raw", nil)
			if err != nil {
				return nil, err
			}
			var to []string
			for _, list := range fields(string(raw), "Bcc") {
				to = append(to, strings.Split(list, ", ")...)
			}
			all = append(all, stored{to: to, raw: raw, remove: func() error {
				body, err := json.Marshal(map[string][]string{"IDs": {m.ID}})
				if err == nil {
					_, err = web.call(http.MethodDelete, "/api/v1/messages", body)
				}
				return err
			}})
		}
	}
	return all, nil
}

// mailpitWeb is the path of a socket.
type mailpitWeb string

func (w mailpitWeb) call(method, path string, body []byte) ([]byte, error) {
	client := http.Client{Timeout: probeTime, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", string(w))
		},
	}}
	req, err := http.NewRequest(method, "http://mailpit"+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	res, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s %s: %s: %s", method, path, res.Status, text)
	}
	return text, err
}
