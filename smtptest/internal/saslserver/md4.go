package saslserver

import (
	"encoding/binary"
	"math/bits"
)

// md4Round is one of the three rounds of MD4 (RFC 1320, 3.4): a function, a
// constant, the order in which it takes the words, and its shifts.
type md4Round struct {
	mix    func(x, y, z uint32) uint32
	add    uint32
	order  [16]int
	shifts [4]int
}

var md4Rounds = [...]md4Round{
	{
		mix:    func(x, y, z uint32) uint32 { return x&y | ^x&z },
		order:  [16]int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
		shifts: [4]int{3, 7, 11, 19},
	},
	{
		mix:    func(x, y, z uint32) uint32 { return x&y | x&z | y&z },
		add:    0x5a827999,
		order:  [16]int{0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15},
		shifts: [4]int{3, 5, 9, 13},
	},
	{
		mix:    func(x, y, z uint32) uint32 { return x ^ y ^ z },
		add:    0x6ed9eba1,
		order:  [16]int{0, 8, 4, 12, 2, 10, 6, 14, 1, 9, 5, 13, 3, 11, 7, 15},
		shifts: [4]int{3, 9, 11, 15},
	},
}

// md4 returns the digest of RFC 1320. Only NTLM still needs it.
func md4(message []byte) []byte {
	padded := append([]byte(nil), message...)
	padded = append(padded, 0x80)
	for len(padded)%64 != 56 {
		padded = append(padded, 0)
	}
	padded = binary.LittleEndian.AppendUint64(padded, 8*uint64(len(message)))

	state := [4]uint32{0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476}
	for ; len(padded) > 0; padded = padded[64:] {
		a, b, c, d := state[0], state[1], state[2], state[3]
		for _, round := range md4Rounds {
			for i, word := range round.order {
				a += round.mix(b, c, d) + binary.LittleEndian.Uint32(padded[4*word:]) + round.add
				a, b, c, d = d, bits.RotateLeft32(a, round.shifts[i%4]), b, c
			}
		}
		state[0], state[1], state[2], state[3] = state[0]+a, state[1]+b, state[2]+c, state[3]+d
	}
	var digest []byte
	for _, word := range state {
		digest = binary.LittleEndian.AppendUint32(digest, word)
	}
	return digest
}
