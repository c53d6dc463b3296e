package smtpwire

import (
	"encoding/binary"
	"unicode/utf8"
)

// Has8Bit reports whether an octet of p is above 0x7f.
func Has8Bit(p []byte) bool {
	for len(p) >= 32 {
		w := binary.NativeEndian.Uint64(p) | binary.NativeEndian.Uint64(p[8:]) |
			binary.NativeEndian.Uint64(p[16:]) | binary.NativeEndian.Uint64(p[24:])
		if w&0x8080808080808080 != 0 {
			return true
		}
		p = p[32:]
	}
	for _, c := range p {
		if c >= utf8.RuneSelf {
			return true
		}
	}
	return false
}
