//go:build linux

package interop

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// The servers are started by a process of their own, the supervisor, which is
// this test binary run again. It stops them when its standard input ends, and
// that happens however the tests end: also after a panic, a -timeout or a kill,
// where no deferred function of the tests runs any more.

const (
	supervisorEnv = "INTEROP_SUPERVISOR"
	startTries    = 3 // another process may have taken a port in between
	stopTime      = 15 * time.Second
)

// supervise is the main function of the supervisor. It writes the settings as
// JSON to standard output once all servers answer.
func supervise() int {
	stopped := make(chan os.Signal, 1)
	signal.Notify(stopped, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	if err := superviseUntil(stopped); err != nil {
		fmt.Fprintln(os.Stderr, "interop:", err)
		return 1
	}
	return 0
}

func superviseUntil(stopped <-chan os.Signal) (err error) {
	if err := checkMachine(); err != nil {
		return err
	}
	if err := adoptOrphans(); err != nil {
		return err
	}
	var f *fleet
	for range startTries {
		if f, err = launch(); err == nil {
			break
		}
		fmt.Fprintln(os.Stderr, "interop:", err)
	}
	if err != nil {
		return fmt.Errorf("the servers did not start after %d tries", startTries)
	}
	defer func() { err = errors.Join(err, f.stop()) }()
	if err := json.NewEncoder(os.Stdout).Encode(f.settings); err != nil {
		return err
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		io.Copy(io.Discard, os.Stdin)
	}()
	select {
	case <-done:
	case <-stopped:
	}
	return nil
}

// programs are what must be installed, with the Debian package that brings it.
var programs = []struct{ path, pkg string }{
	{"/usr/sbin/postfix", "postfix"},
	{"/usr/lib/postfix/sbin/smtpd", "postfix"},
	{"/usr/sbin/dovecot", "dovecot-core"},
	{"/usr/bin/doveadm", "dovecot-core"},
	{"/usr/lib/dovecot/submission-login", "dovecot-submissiond"},
	{"/usr/lib/dovecot/pop3-login", "dovecot-pop3d"},
	{"/usr/sbin/saslpasswd2", "sasl2-bin"},
	{"/usr/bin/microsocks", "microsocks"},
	{"/usr/bin/tinyproxy", "tinyproxy"},
}

func checkMachine() error {
	if os.Geteuid() != 0 {
		return errors.New("these tests must run as root: Postfix changes users")
	}
	var errs []error
	for _, p := range programs {
		if _, err := os.Stat(p.path); err != nil {
			errs = append(errs, fmt.Errorf("%s is missing: apt-get install %s", p.path, p.pkg))
		}
	}
	return errors.Join(errs...)
}

func userID(name string) (int, error) {
	u, err := user.Lookup(name)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(u.Uid)
}

// openDir makes a temporary directory that every user can enter: Postfix and
// Dovecot work in it under users of their own.
func openDir() (string, error) {
	var errs []error
	for _, parent := range []string{os.TempDir(), "/tmp", "/var/tmp"} {
		if err := enterable(parent); err != nil {
			errs = append(errs, err)
			continue
		}
		dir, err := os.MkdirTemp(parent, "interop-")
		if err != nil {
			errs = append(errs, err)
			continue
		}
		return dir, os.Chmod(dir, 0o755)
	}
	return "", errors.Join(errs...)
}

func enterable(dir string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	for {
		st, err := os.Stat(dir)
		if err != nil {
			return err
		}
		if st.Mode().Perm()&0o001 == 0 {
			return fmt.Errorf("%s is not enterable by every user", dir)
		}
		if dir == "/" {
			return nil
		}
		dir = filepath.Dir(dir)
	}
}

// fleet is the running servers.
type fleet struct {
	settings  *settings
	processes []*process
	tokens    *http.Server // introspection for Dovecot
}

// process is a server that stays in the foreground.
type process struct {
	name   string
	cmd    *exec.Cmd
	exited chan struct{} // closed after the wait
	err    error         // valid once exited is closed
}

// launch starts all servers in the order in which they need each other: Postfix
// gives up on a service whose SASL server does not answer at once.
func launch() (f *fleet, err error) {
	dir, err := openDir()
	if err != nil {
		return nil, err
	}
	f = new(fleet)
	defer func() {
		if err != nil {
			err = errors.Join(err, f.logs(dir), f.sweep(dir))
			f = nil
		}
	}()
	s, err := newSettings(dir)
	if err != nil {
		return f, err
	}
	f.settings = s
	if err := s.write(); err != nil {
		return f, err
	}
	if f.tokens, err = serveTokens(s.Tokens); err != nil {
		return f, err
	}
	if err := f.start("dovecot", "/usr/sbin/dovecot", "-F", "-c", filepath.Join(dir, "dovecot/dovecot.conf")); err != nil {
		return f, err
	}
	if err := f.await(s.probeSASL); err != nil {
		return f, fmt.Errorf("dovecot auth: %w", err)
	}
	for _, args := range [][]string{
		{"postfix", "/usr/sbin/postfix", "-c", filepath.Join(dir, "postfix/conf"), "start-fg"},
		{"microsocks", "/usr/bin/microsocks", "-i", "127.0.0.1", "-p", strconv.Itoa(s.SOCKS)},
		{"microsocks with password", "/usr/bin/microsocks", "-i", "127.0.0.1", "-p", strconv.Itoa(s.SOCKSAuth), "-u", proxyUser, "-P", proxyPassword},
		{"tinyproxy", "/usr/bin/tinyproxy", "-d", "-c", filepath.Join(dir, "tinyproxy.conf")},
		{"tinyproxy-open", "/usr/bin/tinyproxy", "-d", "-c", filepath.Join(dir, "tinyproxy-open.conf")},
	} {
		if err := f.start(args[0], args[1], args[2:]...); err != nil {
			return f, err
		}
	}
	for _, probe := range s.probes() {
		if err := f.await(probe); err != nil {
			return f, err
		}
	}
	return f, nil
}

func (f *fleet) start(name, path string, args ...string) error {
	p := &process{name: name, cmd: exec.Command(path, args...), exited: make(chan struct{})}
	out, err := os.Create(filepath.Join(f.settings.Dir, strings.ReplaceAll(name, " ", "-")+".out"))
	if err != nil {
		return err
	}
	defer out.Close()
	p.cmd.Stdout, p.cmd.Stderr = out, out
	p.cmd.Dir = f.settings.Dir
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := p.cmd.Start(); err != nil {
		return err
	}
	f.processes = append(f.processes, p)
	go func() {
		p.err = p.cmd.Wait()
		close(p.exited)
	}()
	return nil
}

const (
	probeTime  = 30 * time.Second
	probePause = 50 * time.Millisecond
)

// await repeats probe until it succeeds, a server has died or time is up.
func (f *fleet) await(probe func() error) error {
	deadline := time.Now().Add(probeTime)
	for {
		err := probe()
		for _, p := range f.processes {
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

// stop ends the servers, makes sure that no process is left, and removes the
// directory. Having to kill one is an error: a server hung.
func (f *fleet) stop() error {
	dir := f.settings.Dir
	err := exec.Command("/usr/sbin/postfix", "-c", filepath.Join(dir, "postfix/conf"), "stop").Run()
	if err != nil {
		err = fmt.Errorf("postfix stop: %w", err)
	}
	for _, p := range f.processes {
		if p.name != "postfix" {
			p.cmd.Process.Signal(syscall.SIGTERM)
		}
	}
	late := time.After(stopTime)
	for _, p := range f.processes {
		select {
		case <-p.exited:
		case <-late:
			err = errors.Join(err, fmt.Errorf("%s did not stop in %v", p.name, stopTime), f.logs(dir))
			return errors.Join(err, f.sweep(dir))
		}
	}
	return errors.Join(err, f.sweep(dir))
}

// sweep kills whatever is left of the servers, waits for its end and removes
// the directory.
func (f *fleet) sweep(dir string) error {
	if f.tokens != nil {
		f.tokens.Close()
	}
	if err := killDescendants(f.processes); err != nil {
		return err
	}
	return os.RemoveAll(dir)
}

// logs is the end of each log as an error text, for starts and stops that fail.
func (f *fleet) logs(dir string) error {
	return errors.New(logTails(dir, nil))
}

// logNames lists the servers' logs.
func logNames(dir string) (names []string) {
	for _, pattern := range []string{"*.out", "tinyproxy.log", "postfix/maillog", "dovecot/log"} {
		found, _ := filepath.Glob(filepath.Join(dir, pattern))
		names = append(names, found...)
	}
	return names
}

// logTails returns the last lines of each log, of those after the octet in from.
func logTails(dir string, from map[string]int64) string {
	const lines = 40
	var b strings.Builder
	for _, name := range logNames(dir) {
		text, err := os.ReadFile(name)
		if err != nil || int64(len(text)) <= from[name] {
			continue
		}
		all := strings.Split(strings.TrimSpace(string(text[from[name]:])), "\n")
		all = all[max(0, len(all)-lines):]
		fmt.Fprintf(&b, "--- %s\n%s\n", filepath.Base(name), strings.Join(all, "\n"))
	}
	return b.String()
}
