//go:build !unix || aix

package link

import "net"

// input is what can be known of a connection's input without reading it. On
// this system only the connection itself can say.
type input struct{ asked inputReporter }

func (in *input) init(nc net.Conn) { in.asked, _ = nc.(inputReporter) }

// isSocket reports whether the kernel is asked.
func (in *input) isSocket() bool { return false }

// waiting reports whether reading would return at once, with octets or an error.
// known is false when the connection cannot be asked.
func (in *input) waiting() (there, known bool) {
	if in.asked == nil {
		return false, false
	}
	return in.asked.InputWaiting()
}
