package benchmarks

import (
	"bufio"
	"bytes"
	"net"
	"strconv"
	"strings"
)

// serve is a server that does as little as it can: it answers what has come together as
// a whole, and passes over messages without a copy.
func serve(nc net.Conn, keywords ...string) {
	defer nc.Close()
	hello := "250-sink\r\n250-" + strings.Join(append([]string{"8BITMIME"}, keywords...), "\r\n250-") + "\r\n250 HELP\r\n"
	in := bufio.NewReaderSize(nc, 256<<10)
	out := append(make([]byte, 0, 64<<10), "220 sink\r\n"...)
	for {
		if in.Buffered() == 0 {
			if _, err := nc.Write(out); err != nil {
				return
			}
			out = out[:0]
		}
		line, err := in.ReadSlice('\n')
		if err != nil {
			return
		}
		switch string(line[:min(4, len(line))]) {
		case "EHLO":
			out = append(out, hello...)
		case "MAIL":
			out = append(out, "250 2.1.0 Ok, sender\r\n"...)
		case "RCPT":
			out = append(out, "250 2.1.5 Ok, recipient\r\n"...)
		case "DATA":
			if _, err := nc.Write(append(out, "354 End data with <CR><LF>.<CR><LF>\r\n"...)); err != nil {
				return
			}
			if skipMessage(in) != nil {
				return
			}
			out = append(out[:0], "250 2.0.0 Ok: queued as 4dGcX91fQzz1Gb\r\n"...)
		case "BDAT":
			size, _, _ := bytes.Cut(bytes.TrimSpace(line[len("BDAT "):]), []byte(" "))
			n, err := strconv.Atoi(string(size))
			if err != nil {
				return
			}
			if _, err := in.Discard(n); err != nil {
				return
			}
			out = append(out, "250 2.0.0 Ok: queued as 4dGcX91fQzz1Gb\r\n"...)
		case "QUIT":
			nc.Write(append(out, "221 bye\r\n"...))
			return
		default:
			out = append(out, "250 2.0.0 Ok\r\n"...)
		}
	}
}

var messageEnd = []byte("\r\n.\r\n")

// skipMessage passes over a message after DATA, with its dot.
func skipMessage(in *bufio.Reader) error {
	for {
		if _, err := in.Peek(len(messageEnd)); err != nil {
			return err
		}
		have, _ := in.Peek(in.Buffered())
		if i := bytes.Index(have, messageEnd); i >= 0 {
			_, err := in.Discard(i + len(messageEnd))
			return err
		}
		// The end may come in pieces.
		if _, err := in.Discard(len(have) - len(messageEnd) + 1); err != nil {
			return err
		}
	}
}
