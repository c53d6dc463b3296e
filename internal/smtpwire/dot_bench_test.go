package smtpwire

import (
	"bufio"
	"bytes"
	"io"
	"math/rand/v2"
	"net/textproto"
	"strings"
	"testing"
)

const (
	benchMessage = 1 << 20  // octets of the message
	benchBlock   = 8 << 10  // octets a call, as a transaction does it
	benchBuffer  = 64 << 10 // what is collected before it is written
)

// benchMessages are the kinds of text that a message may be made of.
var benchMessages = []struct{ name, line string }{
	{"CRLF76", line76 + "\r\n"},
	{"LF76", line76 + "\n"},
	{"CR76", line76 + "\r"},
	{"Dots76", "." + line76[1:] + "\r\n"},
	{"Short", "short\r\n"},
	{"Empty", "\r\n"},
	{"Unbroken", line76},
	{"Prose", prose()},
}

// prose is lines of many lengths, so that no line foretells the next.
func prose() string {
	random := rand.New(rand.NewPCG(1, 2))
	var text strings.Builder
	for range 10000 {
		text.WriteString(line76[:random.IntN(len(line76))] + "\r\n")
	}
	return text.String()
}

const line76 = "TG9yZW0gaXBzdW0gZG9sb3Igc2l0IGFtZXQsIGNvbnNlY3RldHVyIGFkaXBpc2NpbmcgZWxpdCBz"

// benchEach runs f once a message for each kind of message.
func benchEach(b *testing.B, f func(message []byte)) {
	for _, m := range benchMessages {
		message := bytes.Repeat([]byte(m.line), benchMessage/len(m.line)+1)[:benchMessage]
		b.Run(m.name, func(b *testing.B) {
			b.SetBytes(benchMessage)
			b.ReportAllocs()
			for b.Loop() {
				f(message)
			}
		})
	}
}

// BenchmarkEncoder feeds the message in blocks, as a transaction does.
func BenchmarkEncoder(b *testing.B) {
	out := make([]byte, 0, benchBuffer+3*benchBlock)
	benchEach(b, func(message []byte) {
		e := Encoder{Stuff: true}
		for len(message) > 0 {
			n := min(len(message), benchBlock)
			out = e.Append(out, message[:n])
			message = message[n:]
			if len(out) >= benchBuffer {
				io.Discard.Write(out)
				out = out[:0]
			}
		}
		io.Discard.Write(e.AppendEnd(out))
		out = out[:0]
	})
}

// BenchmarkEncoderWhole encodes the message with one call.
func BenchmarkEncoderWhole(b *testing.B) {
	out := make([]byte, 0, 3*benchMessage)
	benchEach(b, func(message []byte) {
		e := Encoder{Stuff: true}
		io.Discard.Write(e.AppendEnd(e.Append(out, message)))
	})
}

// BenchmarkTextprotoDotWriter is the standard library on the same messages.
func BenchmarkTextprotoDotWriter(b *testing.B) {
	out := bufio.NewWriterSize(io.Discard, benchBuffer)
	benchEach(b, func(message []byte) {
		w := textproto.NewWriter(out).DotWriter()
		w.Write(message)
		w.Close()
	})
}
