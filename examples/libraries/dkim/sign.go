package main

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"os"

	"github.com/emersion/go-msgauth/dkim"
)

// signedFields are the fields that a signature covers (RFC 6376, 5.4.1). Those that a reader
// sees stand here once more than a message has them: nobody can add another one unnoticed.
var signedFields = []string{
	"From", "From", "To", "To", "Cc", "Cc", "Subject", "Subject", "Date", "Date", "Reply-To", "Reply-To",
	"Message-ID", "In-Reply-To", "References", "MIME-Version", "Content-Type", "Content-Transfer-Encoding",
}

// sign returns a message with a signature in front of it. The options say who signs.
func sign(message io.Reader, options *dkim.SignOptions) ([]byte, error) {
	data, err := io.ReadAll(message)
	if err != nil {
		return nil, err
	}
	// The bytes that go out are those that were signed. On the way folds and spaces at the ends
	// of lines may change, which the relaxed form allows.
	data = bytes.ReplaceAll(data, []byte("\r\n"), []byte("\n"))
	data = bytes.ReplaceAll(data, []byte("\r"), []byte("\n"))
	data = bytes.ReplaceAll(data, []byte("\n"), []byte("\r\n"))
	options.HeaderKeys = signedFields
	options.HeaderCanonicalization, options.BodyCanonicalization = dkim.CanonicalizationRelaxed, dkim.CanonicalizationRelaxed
	var signed bytes.Buffer
	err = dkim.Sign(&signed, bytes.NewReader(data), options)
	return signed.Bytes(), err
}

// readKey reads a private key. Its errors do not repeat what is in the file.
func readKey(file string) (crypto.Signer, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("%s: no key in PEM", file)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("%s: a key that cannot sign", file)
	}
	return signer, nil
}

// printRecord prints the TXT record that publishes a key (RFC 6376, 3.6.1; RFC 8463, 4).
func printRecord(out io.Writer, name string, key crypto.Signer) error {
	kind, public := "rsa", []byte(nil)
	switch k := key.Public().(type) {
	case ed25519.PublicKey:
		kind, public = "ed25519", k
	default:
		var err error
		if public, err = x509.MarshalPKIXPublicKey(k); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(out, "%s TXT v=DKIM1; k=%s; p=%s\n", name, kind, base64.StdEncoding.EncodeToString(public))
	return err
}
