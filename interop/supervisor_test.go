//go:build linux

package interop

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
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
	supervisorEnv = "INTEROP_SUPERVISOR" // its value is the role
	labRole       = "lab"                // any other role is a peer's place, as JSON
	startTries    = 3                    // another process may have taken a port in between
	stopTime      = 15 * time.Second
)

// supervise is the main function of the supervisor. It writes JSON to standard
// output once all servers answer.
func supervise(role string) int {
	stopped := make(chan os.Signal, 1)
	signal.Notify(stopped, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	serve := superviseLab
	if role != labRole {
		serve = func(orders <-chan string) error { return supervisePeer(role, orders) }
	}
	err := adoptOrphans()
	if err == nil {
		err = serve(ordersUntil(stopped))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "interop:", err)
		return 1
	}
	return 0
}

// ordersUntil passes the lines of standard input on. The channel is closed when
// that ends, or at a signal.
func ordersUntil(stopped <-chan os.Signal) <-chan string {
	lines := make(chan string)
	go func() {
		defer close(lines)
		for in := bufio.NewScanner(os.Stdin); in.Scan(); {
			lines <- in.Text()
		}
	}()
	orders := make(chan string)
	go func() {
		defer close(orders)
		for {
			select {
			case line, ok := <-lines:
				if !ok {
					return
				}
				orders <- line
			case <-stopped:
				return
			}
		}
	}()
	return orders
}

// superviseLab runs the lab until there is no more order; it takes none.
func superviseLab(orders <-chan string) (err error) {
	if err := checkMachine(); err != nil {
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
	for range orders {
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
	{"/usr/lib/dovecot/lmtp", "dovecot-lmtpd"},
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

// openDir makes a temporary directory that every user can enter, below the first
// parent that allows it: servers work in it under users of their own.
func openDir(parents ...string) (string, error) {
	var errs []error
	for _, parent := range append(parents, os.TempDir(), "/tmp", "/var/tmp") {
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
	crew
	settings *settings
	tokens   *http.Server // introspection for Dovecot
}

// launch starts all servers in the order in which they need each other: Postfix
// gives up on a service whose SASL server does not answer at once.
func launch() (f *fleet, err error) {
	dir, err := openDir()
	if err != nil {
		return nil, err
	}
	f = &fleet{crew: crew{dir: dir}}
	defer func() {
		if err != nil {
			err = errors.Join(err, errors.New(logTails(dir, nil)), f.sweep())
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

// stop ends the servers, makes sure that no process is left, and removes the
// directory.
func (f *fleet) stop() error {
	err := exec.Command("/usr/sbin/postfix", "-c", filepath.Join(f.dir, "postfix/conf"), "stop").Run()
	if err != nil {
		err = fmt.Errorf("postfix stop: %w", err)
	}
	return errors.Join(err, f.crew.stop(), f.sweep())
}

// sweep kills whatever is left of the servers and removes the directory.
func (f *fleet) sweep() error {
	if f.tokens != nil {
		f.tokens.Close()
	}
	if err := f.kill(); err != nil {
		return err
	}
	return os.RemoveAll(f.dir)
}

// logNames lists the servers' logs.
func logNames(dir string) (names []string) {
	for _, pattern := range []string{"*.out", "tinyproxy.log", "postfix/maillog", "dovecot/log", "root/var/log/*log"} {
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
