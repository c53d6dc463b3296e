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
	if role := os.Getenv(supervisorEnv); role != "" {
		os.Exit(supervise(role))
	}
	os.Exit(run(m))
}

func run(m *testing.M) (code int) {
	defer func() {
		if err := shared.stop(); err != nil {
			fmt.Fprintln(os.Stderr, "FAIL: interop: stopping the servers:", err)
			code = 1
		}
	}()
	return m.Run()
}

// supervisor is the tests' end of a process that starts servers.
type supervisor struct {
	cmd      *exec.Cmd
	lifeline io.WriteCloser
	answers  *json.Decoder
}

// startSupervisor starts the process. role says which servers it starts.
func startSupervisor(role string) (*supervisor, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	s := &supervisor{cmd: exec.Command(self)}
	s.cmd.Env = append(os.Environ(), supervisorEnv+"="+role)
	s.cmd.Stderr = os.Stderr
	// Signals from the terminal are for the tests; their end reaches the
	// supervisor by its standard input.
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if s.lifeline, err = s.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	s.answers = json.NewDecoder(out)
	return s, s.cmd.Start()
}

// stop ends the servers and waits until nothing of them is left.
func (s *supervisor) stop() error {
	s.lifeline.Close()
	return s.cmd.Wait()
}

// lab is the servers that many tests share: Postfix, Dovecot and the proxies.
type lab struct {
	settings
	*supervisor
}

// shared starts the lab when the first test asks for it.
var shared labOnce

type labOnce struct {
	once sync.Once
	lab  *lab
	err  error
}

// running returns the lab.
func running() (*lab, error) {
	shared.once.Do(func() { shared.lab, shared.err = startLab() })
	return shared.lab, shared.err
}

func (o *labOnce) stop() error {
	if o.lab == nil {
		return nil
	}
	return o.lab.stop()
}

func startLab() (*lab, error) {
	s, err := startSupervisor(labRole)
	if err != nil {
		return nil, err
	}
	l := &lab{supervisor: s}
	if err := s.answers.Decode(&l.settings); err != nil {
		return nil, errors.Join(errors.New("the servers are not available"), s.stop())
	}
	return l, nil
}
