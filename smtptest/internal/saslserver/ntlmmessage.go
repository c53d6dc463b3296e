package saslserver

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"
	"time"
	"unicode/utf16"
)

// ntlmSignature is the start of every message. The type of the message follows it
// (MS-NLMP, 2.2.1).
const ntlmSignature = "NTLMSSP\x00"

const (
	typeNegotiate    = 1
	typeChallenge    = 2
	typeAuthenticate = 3
)

// Flags of MS-NLMP, 2.2.2.5.
const (
	flagUnicode         = 0x00000001
	flagRequestTarget   = 0x00000004
	flagNTLM            = 0x00000200
	flagAlwaysSign      = 0x00008000
	flagTargetServer    = 0x00020000
	flagExtendedSession = 0x00080000
	flagTargetInfo      = 0x00800000
	flag128             = 0x20000000
	flag56              = 0x80000000

	// grantable are those that the server grants if the client asks for them.
	grantable = flagRequestTarget | flagAlwaysSign | flag128 | flag56
)

// Identifiers of pairs of target information (MS-NLMP, 2.2.2.1).
const (
	avEnd         = 0
	avComputer    = 1
	avDomain      = 2
	avDNSComputer = 3
	avDNSDomain   = 4
	avFlags       = 6
	avTimestamp   = 7

	// avFlagMIC in avFlags says that the message has a MIC.
	avFlagMIC = 2
)

// Where the fixed parts of the messages end. Old clients leave out everything after the
// flags of a NEGOTIATE message.
const (
	negotiateLength    = 16
	challengeLength    = 56
	authenticateLength = 64
	// micOffset is where the MIC is in an AUTHENTICATE message that has one.
	micOffset, micLength = 72, 16
)

// maxNetBIOS is the length of a NetBIOS name.
const maxNetBIOS = 15

// ntlmBody checks the signature, the type and the minimal length of a message.
func ntlmBody(message []byte, kind uint32, length int) bool {
	return len(message) >= length && bytes.HasPrefix(message, []byte(ntlmSignature)) &&
		binary.LittleEndian.Uint32(message[8:]) == kind
}

// parseNegotiate returns the flags of a NEGOTIATE message. The client must support
// Unicode.
func parseNegotiate(message []byte) (flags uint32, ok bool) {
	if !ntlmBody(message, typeNegotiate, negotiateLength) {
		return 0, false
	}
	flags = binary.LittleEndian.Uint32(message[12:])
	return flags, flags&flagUnicode != 0
}

// ntlmChallenge makes the CHALLENGE message (MS-NLMP, 2.2.1.2) of a server that belongs
// to no domain: it names itself as its domain.
func ntlmChallenge(asked uint32, nonce [8]byte, hostname string, now time.Time) []byte {
	label, _, _ := strings.Cut(hostname, ".")
	netBIOS := utf16LE(strings.ToUpper(label[:min(len(label), maxNetBIOS)]))
	var info []byte
	for _, pair := range []struct {
		id    uint16
		value []byte
	}{
		{avDomain, netBIOS},
		{avComputer, netBIOS},
		{avDNSDomain, utf16LE(hostname)},
		{avDNSComputer, utf16LE(hostname)},
		{avTimestamp, fileTime(now)},
		{avEnd, nil},
	} {
		info = binary.LittleEndian.AppendUint16(info, pair.id)
		info = binary.LittleEndian.AppendUint16(info, uint16(len(pair.value)))
		info = append(info, pair.value...)
	}

	b := binary.LittleEndian.AppendUint32([]byte(ntlmSignature), typeChallenge)
	b = appendField(b, challengeLength, netBIOS)
	b = binary.LittleEndian.AppendUint32(b, asked&grantable|
		flagUnicode|flagNTLM|flagTargetServer|flagExtendedSession|flagTargetInfo)
	b = append(b, nonce[:]...)
	b = append(b, make([]byte, 8)...) // reserved
	b = appendField(b, challengeLength+len(netBIOS), info)
	b = append(b, make([]byte, 8)...) // no version
	return slices.Concat(b, netBIOS, info)
}

// appendField appends the length and the offset of data.
func appendField(b []byte, offset int, data []byte) []byte {
	b = binary.LittleEndian.AppendUint16(b, uint16(len(data)))
	b = binary.LittleEndian.AppendUint16(b, uint16(len(data)))
	return binary.LittleEndian.AppendUint32(b, uint32(offset))
}

// authenticate is an AUTHENTICATE message (MS-NLMP, 2.2.1.3).
type authenticate struct {
	message      []byte
	response     []byte // NtChallengeResponse
	domain, user string
}

func parseAuthenticate(message []byte) (m authenticate, ok bool) {
	if !ntlmBody(message, typeAuthenticate, authenticateLength) ||
		binary.LittleEndian.Uint32(message[60:])&flagUnicode == 0 {
		return m, false
	}
	response, hasResponse := fieldAt(message, 20)
	domain, hasDomain := fieldAt(message, 28)
	user, hasUser := fieldAt(message, 36)
	m = authenticate{message: message, response: response, domain: fromUTF16LE(domain), user: fromUTF16LE(user)}
	return m, hasResponse && hasDomain && hasUser && len(domain)%2 == 0 && len(user)%2 == 0
}

// cutMIC returns the MIC, and the message with zeros in its place, from which the MIC is
// computed.
func (m authenticate) cutMIC() (mic, rest []byte, ok bool) {
	if len(m.message) < micOffset+micLength {
		return nil, nil, false
	}
	rest = slices.Clone(m.message)
	clear(rest[micOffset : micOffset+micLength])
	return m.message[micOffset : micOffset+micLength], rest, true
}

// fieldAt returns the data whose length and offset are at that place of the message.
func fieldAt(message []byte, at int) (data []byte, ok bool) {
	length := uint64(binary.LittleEndian.Uint16(message[at:]))
	offset := uint64(binary.LittleEndian.Uint32(message[at+4:]))
	if length == 0 {
		return nil, true
	}
	if offset < authenticateLength || offset+length > uint64(len(message)) {
		return nil, false
	}
	return message[offset : offset+length], true
}

// parsePairs parses target information up to its end and returns the value of avFlags,
// 0 for none.
func parsePairs(info []byte) (flags uint32, ok bool) {
	for len(info) >= 4 {
		id, length := binary.LittleEndian.Uint16(info), int(binary.LittleEndian.Uint16(info[2:]))
		info = info[4:]
		if id == avEnd {
			return flags, length == 0
		}
		if length > len(info) {
			return 0, false
		}
		if id == avFlags && length == 4 {
			flags = binary.LittleEndian.Uint32(info)
		}
		info = info[length:]
	}
	return 0, false
}

// fileTime returns t as a FILETIME: tenths of microseconds since the year 1601.
func fileTime(t time.Time) []byte {
	const to1970 = 11644473600
	return binary.LittleEndian.AppendUint64(nil, uint64(t.Unix()+to1970)*1e7+uint64(t.Nanosecond()/100))
}

func utf16LE(s string) []byte {
	var b []byte
	for _, unit := range utf16.Encode([]rune(s)) {
		b = binary.LittleEndian.AppendUint16(b, unit)
	}
	return b
}

func fromUTF16LE(b []byte) string {
	units := make([]uint16, len(b)/2)
	for i := range units {
		units[i] = binary.LittleEndian.Uint16(b[2*i:])
	}
	return string(utf16.Decode(units))
}
