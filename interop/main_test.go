//go:build linux

package interop

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"
)

func TestMain(m *testing.M) {
	if os.Getenv(supervisorEnv) != "" {
		os.Exit(supervise())
	}
	os.Exit(run(m))
}

func run(m *testing.M) (code int) {
	l, err := running()
	if err != nil {
		fmt.Fprintln(os.Stderr, "FAIL: interop:", err)
		return 1
	}
	defer func() {
		if err := l.stop(); err != nil {
			fmt.Fprintln(os.Stderr, "FAIL: interop: stopping the servers:", err)
			code = 1
		}
	}()
	return m.Run()
}

// lab is the tests' end of the supervisor.
type lab struct {
	settings
	supervisor *exec.Cmd
	lifeline   io.WriteCloser
}

// running starts the servers, once.
var running = sync.OnceValues(startLab)

func startLab() (*lab, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	l := &lab{supervisor: exec.Command(self)}
	l.supervisor.Env = append(os.Environ(), supervisorEnv+"=1")
	l.supervisor.Stderr = os.Stderr
	// Signals from the terminal are for the tests; their end reaches the
	// supervisor by its standard input.
	l.supervisor.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if l.lifeline, err = l.supervisor.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := l.supervisor.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := l.supervisor.Start(); err != nil {
		return nil, err
	}
	if err := json.NewDecoder(out).Decode(&l.settings); err != nil {
		return nil, errors.Join(errors.New("the servers are not available"), l.stop())
	}
	return l, nil
}

// stop ends the servers and waits until nothing of them is left.
func (l *lab) stop() error {
	l.lifeline.Close()
	return l.supervisor.Wait()
}
