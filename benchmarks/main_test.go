// Package benchmarks measures package submission beside net/smtp and go-mail, in one run
// and in turns.
//
// It is a module of its own, so that the library does not depend on what it is compared
// with. Figures and commands stand in docs/performance.md.
package benchmarks

import (
	"bufio"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// sinkProcess is the environment variable that makes the test binary a sink, with its
// value as the keywords to offer: the work of the server must not count as the client's.
const sinkProcess = "SUBMISSION_BENCHMARK_SINK"

func TestMain(m *testing.M) {
	keywords, sinking := os.LookupEnv(sinkProcess)
	if !sinking {
		os.Exit(m.Run())
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(l.Addr())
	go func() { // ends with the process that started it
		io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	for {
		nc, err := l.Accept()
		if err != nil {
			log.Fatal(err)
		}
		go serve(nc, strings.Fields(keywords)...)
	}
}

// startSink starts a sink in a process of its own and returns its address.
func startSink(tb testing.TB, keywords ...string) string {
	tb.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), sinkProcess+"="+strings.Join(keywords, " "))
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
