package saslserver

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"
	"time"
)

// cram is CRAM-MD5 (RFC 2195).
type cram struct {
	accounts  map[string]string
	challenge string
	name      string
	asked     bool
}

func newCRAM(accounts map[string]string, hostname string) *cram {
	var digits [8]byte
	_, _ = rand.Read(digits[:])
	return &cram{
		accounts:  accounts,
		challenge: fmt.Sprintf("<%d.%d@%s>", binary.BigEndian.Uint64(digits[:]), time.Now().Unix(), hostname),
	}
}

func (x *cram) User() string { return x.name }

func (x *cram) Next(response []byte) (challenge []byte, done bool, err error) {
	if !x.asked {
		if response != nil {
			return nil, false, errInitial
		}
		x.asked = true
		return []byte(x.challenge), false, nil
	}
	// A user name may have spaces, a digest cannot.
	at := strings.LastIndexByte(string(response), ' ')
	if at <= 0 || len(response)-at-1 != hex.EncodedLen(md5.Size) {
		return nil, false, errResponse
	}
	x.name = string(response[:at])
	password, known := x.accounts[x.name]
	mac := hmac.New(md5.New, []byte(password))
	mac.Write([]byte(x.challenge))
	if !known || string(response[at+1:]) != hex.EncodeToString(mac.Sum(nil)) {
		return nil, false, ErrCredentials
	}
	return nil, true, nil
}
