package main

import (
	"bytes"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/emersion/go-msgauth/dkim"
	"github.com/fe022423/submission/smtptest"
)

// write writes a file and returns its name.
func write(t *testing.T, name, content string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// writeKey writes a private key as openssl does.
func writeKey(t *testing.T, key any, err error) string {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return write(t, "key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})))
}

func newEd25519(t *testing.T) string {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	return writeKey(t, key, err)
}

// verify checks the signatures of a message as its receiver does, against a DNS that has one
// record, which is a line of the program's output.
func verify(data []byte, record string) ([]*dkim.Verification, error) {
	name, text, _ := strings.Cut(strings.TrimSpace(record), " TXT ")
	return dkim.VerifyWithOptions(bytes.NewReader(data), &dkim.VerifyOptions{LookupTXT: func(domain string) ([]string, error) {
		if domain != name {
			return nil, fmt.Errorf("no record at %s", domain)
		}
		return []string{text}, nil
	}})
}

// signedBy returns nil when there is one signature, it is valid, and it is that of a domain.
func signedBy(domain string, data []byte, record string) error {
	list, err := verify(data, record)
	switch {
	case err != nil:
		return err
	case len(list) != 1 || list[0].Domain != domain:
		return fmt.Errorf("signatures %+v", list)
	}
	return list[0].Err
}

func TestDemonstration(t *testing.T) {
	var out strings.Builder
	if err := run(t.Context(), nil, "", &out); err != nil {
		t.Fatal(err)
	}
	text, data, ok := strings.Cut(out.String(), "\nArrived for [anna@example.net archive@example.org]:\n\n")
	record, _, _ := strings.Cut(text, "\n")
	if !ok || !strings.HasPrefix(record, "2026._domainkey.example.org TXT v=DKIM1; k=ed25519; p=") {
		t.Fatalf("output:\n%s", &out)
	}
	if err := signedBy("example.org", []byte(data), record); err != nil {
		t.Errorf("%v; output:\n%s", err, &out)
	}
}

// The signature is valid when the message has arrived, whatever the message looks like and
// however it travels.
func TestSignatureIsValid(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	keys := map[string]string{"ed25519": newEd25519(t), "rsa": writeKey(t, rsaKey, err)}
	head := "From: Shop <shop@example.org>\nTo: anna@example.net\nSubject: hi\n"
	for name, message := range map[string]string{
		"LF":            head + "\nhello\n",
		"CRLF":          strings.ReplaceAll(head+"\nhello\n", "\n", "\r\n"),
		"mixed":         head + "\nhello\r\nthere\ryou\n\r\r\n",
		"no last end":   head + "\nhello",
		"empty lines":   head + "\n\n\nhello\n\n\n",
		"dots":          head + "\n.\n..\n.hello\n",
		"no body":       head + "\n",
		"folded":        head + "X: a\n b\n\tc\nCc: bea@example.net,\n carl@example.net\n\nhello\n",
		"Bcc":           "Bcc: spy@example.com,\n spy2@example.com\n" + head + "\nhello\n",
		"Bcc at end":    head + "Bcc: spy@example.com\n\nhello\n",
		"8 bits":        head + "Content-Transfer-Encoding: 8bit\n\nGrüße\n",
		"long":          head + "\n" + strings.Repeat("a longer text than what is held back\n", 5000),
		"spaces":        head + "\n  hello  \t there  \n \n",
		"signed before": "DKIM-Signature: v=1; nonsense\n" + head + "\nhello\n",
	} {
		for kind, key := range keys {
			for _, extensions := range [][]string{smtptest.DefaultExtensions(), {"8BITMIME"}} {
				srv := smtptest.New(t, &smtptest.Config{Extensions: extensions})
				args := []string{"-domain", "example.org", "-selector", "s1", "-key", key}
				var record, out strings.Builder
				err := errors.Join(
					run(t.Context(), append([]string{"-record"}, args...), "", &record),
					run(t.Context(), append(args, write(t, "message.eml", message)), srv.URL(), &out),
				)
				if err != nil {
					t.Errorf("%s: %v", name, err)
					continue
				}
				m, err := srv.Next(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if !strings.Contains(record.String(), "; k="+kind+";") {
					t.Errorf("record %s", &record)
				}
				list, err := verify(m.Data, record.String())
				if err != nil || len(list) == 0 || list[0].Err != nil || list[0].Domain != "example.org" {
					t.Errorf("%s, %s: %v, %+v\n%.500s", name, kind, err, list, m.Data)
				}
				if bytes.Contains(m.Data, []byte("spy")) || strings.Contains(message, "spy") != slices.Contains(m.To, "spy@example.com") {
					t.Errorf("%s: to %v\n%.500s", name, m.To, m.Data)
				}
			}
		}
	}
}

// Whoever changes what a reader sees breaks the signature.
func TestSignatureCovers(t *testing.T) {
	args := []string{"-domain", "example.org", "-selector", "s1", "-key", newEd25519(t)}
	srv := smtptest.New(t, nil)
	var record, out strings.Builder
	err := errors.Join(
		run(t.Context(), append([]string{"-record"}, args...), "", &record),
		run(t.Context(), append(args, write(t, "message.eml", "Cc: carl@example.net\n"+demoMessage)), srv.URL(), &out),
	)
	if err != nil {
		t.Fatal(err)
	}
	data := string(srv.Messages()[0].Data)
	if err := signedBy("example.org", []byte(data), record.String()); err != nil {
		t.Fatal(err)
	}
	front := data[:strings.Index(data, "\r\nCc:")+2] // the signature
	for name, changed := range map[string]string{
		"text":            strings.Replace(data, "It is", "It was", 1),
		"more text":       data + "more\r\n",
		"subject":         strings.Replace(data, "Your order", "Your bill", 1),
		"sender":          strings.Replace(data, "Shop <shop@", "Shop <sh0p@", 1),
		"another From":    front + "From: boss@example.org\r\n" + data[len(front):],
		"another Subject": front + "Subject: Your bill\r\n" + data[len(front):],
		"another To":      front + "To: bea@example.net\r\n" + data[len(front):],
		"another Cc":      front + "Cc: bea@example.net\r\n" + data[len(front):],
		"another Date":    front + "Date: Wed, 25 Nov 2026 13:00:00 +0000\r\n" + data[len(front):],
		"a Reply-To":      front + "Reply-To: thief@example.com\r\n" + data[len(front):],
	} {
		if err := signedBy("example.org", []byte(changed), record.String()); err == nil {
			t.Errorf("%s: the signature is still valid", name)
		}
	}
	for name, changed := range map[string]string{
		"spaces":  strings.ReplaceAll(data, "way.\r\n", "way.  \r\n"),
		"folding": strings.Replace(data, "Subject: Your order", "Subject: Your\r\n order", 1),
		"a field": front + "X-Scanned: yes\r\n" + data[len(front):],
		"a trace": "Received: from a by b; Wed, 25 Nov 2026 12:00:01 +0000\r\n" + data,
	} {
		if err := signedBy("example.org", []byte(changed), record.String()); changed == data || err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Nothing is sent unsigned, and no key is shown.
func TestUsage(t *testing.T) {
	srv := smtptest.New(t, nil)
	good, message := newEd25519(t), write(t, "message.eml", demoMessage)
	ecKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	ec := writeKey(t, ecKey, err)
	var exchange crypto.PrivateKey
	exchange, err = ecdh.X25519().GenerateKey(rand.Reader)
	x25519 := writeKey(t, exchange, err)
	for _, tt := range []struct {
		name, url string
		args      []string
		text      string
	}{
		{"no flags", srv.URL(), []string{message}, "usage"},
		{"no message", srv.URL(), []string{"-domain", "a.example", "-selector", "s", "-key", good}, "usage"},
		{"no server", "", []string{"-domain", "a.example", "-selector", "s", "-key", good, message}, "SUBMISSION_URL"},
		{"no domain", srv.URL(), []string{"-selector", "s", "-key", good, message}, "usage"},
		{"no selector", srv.URL(), []string{"-domain", "a.example", "-key", good, message}, "usage"},
		{"no key", srv.URL(), []string{"-domain", "a.example", "-selector", "s", "-key", "none.pem", message}, "none.pem"},
		{"no PEM", srv.URL(), []string{"-domain", "a.example", "-selector", "s", "-key", write(t, "k", "a secret"), message}, "no key in PEM"},
		{"no PKCS #8", srv.URL(), []string{"-domain", "a.example", "-selector", "s", "-key",
			write(t, "k", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("a secret")}))), message}, "asn1"},
		{"a key of another kind", srv.URL(), []string{"-domain", "a.example", "-selector", "s", "-key", ec, message}, "unsupported"},
		{"a key that cannot sign", srv.URL(), []string{"-domain", "a.example", "-selector", "s", "-key", x25519, message}, "cannot sign"},
		{"no file", srv.URL(), []string{"-domain", "a.example", "-selector", "s", "-key", good, "none.eml"}, "none.eml"},
		{"nobody", srv.URL(), []string{"-domain", "a.example", "-selector", "s", "-key", good, write(t, "m", "From: a@b.example\n\nx\n")}, "no address in To"},
		{"bad URL", "mail.example.org", []string{"-domain", "a.example", "-selector", "s", "-key", good, message}, "scheme"},
	} {
		var out strings.Builder
		err := run(t.Context(), tt.args, tt.url, &out)
		if err == nil || !strings.Contains(err.Error(), tt.text) {
			t.Errorf("%s: error %v, want %q", tt.name, err, tt.text)
		}
		if strings.Contains(fmt.Sprint(&out, err), "a secret") {
			t.Errorf("%s: error %v, output %s", tt.name, err, &out)
		}
	}
	if n := srv.Sessions(); n > 0 {
		t.Errorf("%d sessions", n)
	}
}
