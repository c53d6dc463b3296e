//go:build linux

package interop

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// crew is the processes that run below one directory.
type crew struct {
	dir       string
	processes []*process
}

// process is a server that stays in the foreground.
type process struct {
	name   string
	cmd    *exec.Cmd
	exited chan struct{} // closed after the wait
	err    error         // valid once exited is closed
}

// start starts a server that stays in the foreground.
func (c *crew) start(name, path string, args ...string) error {
	return c.run(name, exec.Command(path, args...))
}

// run starts the command in the directory. What it prints goes to a file there.
func (c *crew) run(name string, cmd *exec.Cmd) error {
	p := &process{name: name, cmd: cmd, exited: make(chan struct{})}
	out, err := os.OpenFile(filepath.Join(c.dir, strings.ReplaceAll(name, " ", "-")+".out"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	cmd.Dir = c.dir
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = new(syscall.SysProcAttr)
	}
	cmd.SysProcAttr.Setpgid = true
	if err := cmd.Start(); err != nil {
		return err
	}
	c.processes = append(c.processes, p)
	go func() {
		p.err = cmd.Wait()
		close(p.exited)
	}()
	return nil
}

const (
	probeTime  = 30 * time.Second
	probePause = 50 * time.Millisecond
)

// await repeats probe until it succeeds, a server has died or time is up.
func (c *crew) await(probe func() error) error {
	deadline := time.Now().Add(probeTime)
	for {
		err := probe()
		for _, p := range c.processes {
			select {
			case <-p.exited:
				return fmt.Errorf("%s ended: %v", p.name, p.err)
			default:
			}
		}
		if err == nil || time.Now().After(deadline) {
			return err
		}
		time.Sleep(probePause)
	}
}

// stop asks the servers to end, waits for them and kills what is left of them.
// A server that did not end by itself hung, which is an error.
func (c *crew) stop() (err error) {
	for _, p := range c.processes {
		p.cmd.Process.Signal(syscall.SIGTERM)
	}
	late := time.After(stopTime)
	for _, p := range c.processes {
		select {
		case <-p.exited:
		case <-late:
			err = fmt.Errorf("%s did not stop in %v\n%s", p.name, stopTime, logTails(c.dir, nil))
			return errors.Join(err, c.kill())
		}
	}
	return c.kill()
}

// kill kills whatever is left and waits for its end.
func (c *crew) kill() error {
	err := killDescendants(c.processes)
	c.processes = nil
	return err
}
