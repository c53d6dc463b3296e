package link

import (
	"errors"
	"net"
	"time"
)

// Line buffers a command. Only what may be seen is passed here; lines with a
// secret go through SecretLine.
func (l *Link) Line(text string) error {
	if err := l.w.LineString(text); err != nil {
		return err
	}
	l.sent(text)
	return nil
}

// LineBytes is Line for octets that the caller will use again.
func (l *Link) LineBytes(text []byte) error {
	if err := l.w.Line(text); err != nil {
		return err
	}
	if l.cfg.Sent != nil {
		l.sent(string(text))
	}
	return nil
}

// SecretLine buffers shown followed by secret, of which only *** is seen.
func (l *Link) SecretLine(shown, secret string) error {
	if err := l.w.LineString(shown + secret); err != nil {
		return errors.New("control character in a line of the exchange")
	}
	if secret != "" {
		shown += "***"
	}
	l.sent(shown)
	return nil
}

func (l *Link) sent(line string) {
	if l.cfg.Sent != nil {
		l.cfg.Sent(line)
	}
}

// Observed reports whether anyone looks at the lines.
func (l *Link) Observed() bool { return l.cfg.Sent != nil }

// ShowSent tells whoever looks at the lines about one that is part of Data.
func (l *Link) ShowSent(line string) { l.sent(line) }

// Data buffers octets of a message that are in wire form.
func (l *Link) Data(p []byte) { l.w.Data(p) }

// Flush writes what is buffered in one go. A failure does not show here but when
// a reply is heard: what the server said before it comes first.
func (l *Link) Flush() {
	if !l.Usable() || l.w.Buffered() == 0 {
		return
	}
	l.limitWrite(l.cfg.Limits.Command)
	l.unwritten = l.givenUpFor() != nil
	if l.unwritten {
		l.writeErr = net.ErrClosed
		return
	}
	l.writeErr = l.w.Flush()
	l.unwritten = l.writeErr != nil && l.w.Taken() == 0 && l.givenUpFor() != nil
}

// Unwritten reports whether the last Flush was given up by the caller before the
// connection had taken an octet. That it says so is no proof where it failed by itself.
func (l *Link) Unwritten() bool { return l.unwritten }

// limitWrite bounds the write that follows.
func (l *Link) limitWrite(limit time.Duration) {
	l.writeLimit = limit
	l.timer.SetWriteDeadline(time.Now().Add(limit))
}

// Write writes octets of a message past the buffer, block by block, each within
// DataBlock. It reports whether all were taken; why not shows when a reply is
// heard.
func (l *Link) Write(p []byte) bool {
	for len(p) > 0 && l.Usable() {
		n := min(len(p), block)
		l.limitWrite(l.cfg.Limits.DataBlock)
		l.writeErr = l.w.WriteThrough(p[:n])
		p = p[n:]
	}
	return l.Usable()
}
