//go:build linux

package power

import "math/rand/v2"

// write is a write to a file, or its truncation.
type write struct {
	at   int64
	data []byte
	cut  bool // to at

	serial uint64
}

// on is data after the write.
func (w write) on(data []byte) []byte {
	end := w.at + int64(len(w.data))
	if grown := end - int64(len(data)); grown > 0 {
		data = append(data, make([]byte, grown)...)
	}
	if w.cut {
		return data[:w.at]
	}
	copy(data[w.at:], w.data)
	return data
}

const page = 4096

// torn is a write of which only some of the pages came to the disk, the first ones.
func (w write) torn(random *rand.Rand) write {
	if len(w.data) == 0 {
		return w
	}
	first, last := w.at/page, (w.at+int64(len(w.data))-1)/page
	end := (first+1+random.Int64N(last-first+1))*page - w.at
	w.data = w.data[:min(max(end, 0), int64(len(w.data)))]
	return w
}
