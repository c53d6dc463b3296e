package submission_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"github.com/fe022423/submission"
)

// sink is a server that does as little as possible: it answers a group of commands as a
// whole and discards the messages, without allocating.
type sink struct {
	offer string // EHLO keywords, each with a leading "250-" and CRLF
}

func (k sink) serve(nc net.Conn) {
	defer nc.Close()
	in := bufio.NewReaderSize(nc, 256<<10)
	replies := append(make([]byte, 0, 64<<10), "220 sink\r\n"...)
	for {
		if in.Buffered() == 0 && len(replies) > 0 {
			if _, err := nc.Write(replies); err != nil {
				return
			}
			replies = replies[:0]
		}
		line, err := in.ReadSlice('\n')
		if err != nil {
			return
		}
		switch verb := line[:min(4, len(line))]; string(verb) {
		case "EHLO":
			replies = append(append(append(replies, "250-sink\r\n250-8BITMIME\r\n"...), k.offer...), "250 PIPELINING\r\n"...)
		case "MAIL":
			replies = append(replies, "250 2.1.0 Ok, sender\r\n"...)
		case "RCPT":
			replies = append(replies, "250 2.1.5 Ok, recipient\r\n"...)
		case "DATA":
			replies = append(replies, "354 End data with <CR><LF>.<CR><LF>\r\n"...)
			if _, err := nc.Write(replies); err != nil {
				return
			}
			replies = replies[:0]
			if discardMessage(in) != nil {
				return
			}
			replies = append(replies, "250 2.0.0 Ok: queued as 4dGcX91fQzz1Gb\r\n"...)
		case "BDAT":
			size := 0
			for _, c := range line[len("BDAT "):] {
				if c < '0' || c > '9' {
					break
				}
				size = size*10 + int(c-'0')
			}
			if _, err := in.Discard(size); err != nil {
				return
			}
			replies = append(replies, "250 2.0.0 Ok: queued as 4dGcX91fQzz1Gb\r\n"...)
		case "QUIT":
			nc.Write(append(replies, "221 bye\r\n"...))
			return
		default:
			replies = append(replies, "250 2.0.0 Ok\r\n"...)
		}
	}
}

var sinkDot = []byte("\r\n.\r\n")

// discardMessage passes over a message after DATA, with its dot.
func discardMessage(in *bufio.Reader) error {
	for {
		if _, err := in.Peek(len(sinkDot)); err != nil {
			return err
		}
		have, _ := in.Peek(in.Buffered())
		if i := bytes.Index(have, sinkDot); i >= 0 {
			_, err := in.Discard(i + len(sinkDot))
			return err
		}
		// The dot may come in pieces.
		if _, err := in.Discard(len(have) - len(sinkDot) + 1); err != nil {
			return err
		}
	}
}

// sinkProcess is the environment variable that makes the test binary a sink. Its value is the
// mode and the keywords to offer. In a process of its own, the memory of the sink does not
// count.
const sinkProcess = "SUBMISSION_TEST_SINK"

func TestMain(m *testing.M) {
	mode, sinking := os.LookupEnv(sinkProcess)
	if !sinking {
		os.Exit(m.Run())
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(l.Addr())
	go func() { // exits when the process that started it does
		io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	var config *tls.Config
	offer, secure := strings.CutPrefix(mode, "TLS ")
	if secure {
		config = &tls.Config{Certificates: []tls.Certificate{selfSigned()}, MinVersion: tls.VersionTLS13}
	}
	for {
		nc, err := l.Accept()
		if err != nil {
			log.Fatal(err)
		}
		if secure {
			nc = tls.Server(nc, config)
		}
		go sink{offer}.serve(nc)
	}
}

// listen starts a sink in a process of its own and returns its address.
func (k sink) listen(tb testing.TB, secure bool) string {
	tb.Helper()
	mode := k.offer
	if secure {
		mode = "TLS " + mode
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), sinkProcess+"="+mode)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		tb.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		stdin.Close()
		cmd.Wait()
	})
	addr, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		tb.Fatal(err)
	}
	return strings.TrimSpace(addr)
}

func lines(octets int) []byte {
	return bytes.Repeat([]byte(strings.Repeat("x", 76)+"\r\n"), octets/78)
}

// BenchmarkWarmMessage sends messages of 4 KiB over a session of the pool.
func BenchmarkWarmMessage(b *testing.B) {
	msg := lines(4 << 10)
	for _, mode := range []struct{ name, offer string }{{"DATA", ""}, {"BDAT", "250-CHUNKING\r\n"}} {
		for _, cancellable := range []bool{false, true} {
			b.Run(fmt.Sprintf("%s/cancellable=%v", mode.name, cancellable), func(b *testing.B) {
				c, err := submission.New(sink{mode.offer}.listen(b, false), plainText())
				if err != nil {
					b.Fatal(err)
				}
				defer c.Close()
				ctx := context.Background()
				if cancellable {
					var cancel context.CancelFunc
					ctx, cancel = context.WithCancel(ctx)
					defer cancel()
				}
				env := submission.Envelope{From: "sender@test.example", To: submission.To("recipient@test.example")}
				r := bytes.NewReader(msg)
				send := func() {
					r.Reset(msg)
					if _, err := c.Send(ctx, env, r); err != nil {
						b.Fatal(err)
					}
				}
				send() // the session opens
				b.ReportAllocs()
				for b.Loop() {
					send()
				}
			})
		}
	}
}

// repeated is a source that returns the octets of block again and again.
type repeated struct {
	block []byte
	left  int64
	at    int
}

func (r *repeated) Read(p []byte) (int, error) {
	if r.left == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(int64(len(p)), r.left)], r.block[r.at:])
	r.at = (r.at + n) % len(r.block)
	r.left -= int64(n)
	return n, nil
}

// streamSize is the size of the message that BenchmarkStream sends.
const streamSize = 1 << 30

// BenchmarkStream sends a message of 1 GiB and, for comparison, the same octets
// from the same source over a bare connection to the same peer. It reports the
// growth of the heap while the message streams.
func BenchmarkStream(b *testing.B) {
	block := lines(1 << 20)
	size := int64(streamSize / len(block) * len(block))
	for _, secure := range []bool{false, true} {
		name, options := "clear", *plainText()
		if secure {
			name = "TLS13"
			options.TLS = submission.TLSImplicit
			options.TLSConfig = &tls.Config{InsecureSkipVerify: true}
		}
		b.Run(name+"/bare", func(b *testing.B) {
			addr := sink{}.listen(b, secure)
			for b.Loop() {
				bare(b, addr, secure, &repeated{block: block, left: size})
			}
			b.SetBytes(size)
		})
		for _, mode := range []struct{ name, offer string }{{"DATA", ""}, {"BDAT", "250-CHUNKING\r\n"}} {
			b.Run(name+"/"+mode.name, func(b *testing.B) {
				c, err := submission.New(sink{mode.offer}.listen(b, secure), &options)
				if err != nil {
					b.Fatal(err)
				}
				defer c.Close()
				env := submission.Envelope{From: "sender@test.example", To: submission.To("recipient@test.example")}
				var growth uint64
				for b.Loop() {
					g := &gauge{Reader: &repeated{block: block, left: size}}
					if _, err := c.Send(context.Background(), env, g); err != nil {
						b.Fatal(err)
					}
					growth = max(growth, g.growth())
				}
				b.SetBytes(size)
				b.ReportMetric(float64(growth)/1024, "heap-KiB")
			})
		}
	}
}

// bare writes the source to a connection in the simplest way, in the same blocks of 64 KiB.
func bare(b *testing.B, addr string, secure bool, src io.Reader) {
	b.Helper()
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		b.Fatal(err)
	}
	if secure {
		nc = tls.Client(nc, &tls.Config{InsecureSkipVerify: true})
	}
	defer nc.Close()
	hello := make([]byte, 64)
	for _, line := range []string{"MAIL FROM:<>\r\nDATA\r\n", ""} { // greeting, 354
		if _, err := nc.Read(hello); err != nil {
			b.Fatal(err)
		}
		if _, err := io.WriteString(nc, line); err != nil {
			b.Fatal(err)
		}
	}
	buf := make([]byte, 64<<10)
	for {
		n, err := io.ReadFull(src, buf)
		if n > 0 {
			if _, err := nc.Write(buf[:n]); err != nil {
				b.Fatal(err)
			}
		}
		if err != nil {
			break
		}
	}
	if _, err := io.WriteString(nc, ".\r\n"); err != nil {
		b.Fatal(err)
	}
	if _, err := nc.Read(hello); err != nil {
		b.Fatal(err)
	}
}

// gauge is a source that measures the heap while it is read.
type gauge struct {
	io.Reader
	reads       int
	first, most uint64
}

func (g *gauge) Read(p []byte) (int, error) {
	if g.reads%1024 == 0 {
		if g.reads == 0 {
			runtime.GC()
		}
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		if g.reads == 0 {
			g.first = m.HeapAlloc
		}
		g.most = max(g.most, m.HeapAlloc)
	}
	g.reads++
	return g.Reader.Read(p)
}

func (g *gauge) growth() uint64 { return g.most - g.first }
