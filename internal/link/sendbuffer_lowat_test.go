//go:build linux

package link

import (
	"syscall"
	"testing"
)

// What the kernel holds unsent is bounded, so that a slow line is not taken for a
// silent server.
func TestUnsentIsBounded(t *testing.T) {
	client, _ := tcpPair(t)
	New(client, Config{Limits: limits})
	rc, err := client.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	const notSentLowWater = 25 // TCP_NOTSENT_LOWAT
	rc.Control(func(fd uintptr) {
		n, err := syscall.GetsockoptInt(int(fd), syscall.IPPROTO_TCP, notSentLowWater)
		if err != nil || n != 256<<10 {
			t.Errorf("%d octets may wait, %v, want 256 KiB", n, err)
		}
	})
}
