//go:build linux

package interop

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// Debian's packages of mail servers exclude each other. Those beside Postfix are
// only unpacked (.ci/install), and run in a root directory of their own, where
// their files lie at the places that are compiled into them.

// jail is the root directory of a server.
type jail struct {
	*station
	packages string // where they are unpacked
	users    map[string]int
}

// firstUser is the identity of the first user of a jail. Outside it nobody has it.
const firstUser = 61_000

// newJail makes the root directory, once for a place, with the users and groups.
// Each user has a home directory /home/NAME.
func (s *station) newJail(packages string, users ...string) (*jail, error) {
	j := &jail{s, filepath.Join(cacheDir(), packages), make(map[string]int)}
	for i, name := range users {
		j.users[name] = firstUser + i
	}
	if _, err := os.Stat(j.root("/usr")); err == nil {
		return j, nil // a restart
	}
	for _, dir := range []string{"usr", "etc/ssl", "var/lib", "var/spool", "var/mail", "var/log", "run", "tmp", "dev", "proc", "root", "home", "store"} {
		if err := os.MkdirAll(j.root(dir), 0o755); err != nil {
			return nil, err
		}
	}
	if err := os.Chmod(j.root("tmp"), 0o1777); err != nil {
		return nil, err
	}
	for _, dir := range []string{"bin", "sbin", "lib", "lib64"} {
		if err := os.Symlink("usr/"+dir, j.root(dir)); err != nil {
			return nil, err
		}
	}
	if err := os.Symlink("../run", j.root("var/run")); err != nil {
		return nil, err
	}
	if err := copyTree(filepath.Join(j.packages, "etc"), j.root("etc")); err != nil {
		return nil, err
	}
	if err := copyTree("/etc/alternatives", j.root("etc/alternatives")); err != nil {
		return nil, err
	}
	return j, j.writeNames(users)
}

// writeNames writes the databases of users and hosts.
func (j *jail) writeNames(users []string) error {
	passwd := "root:x:0:0::/root:/bin/sh\nnobody:x:65534:65534::/nonexistent:/bin/false\n"
	group := "root:x:0:\nnogroup:x:65534:\n"
	for _, name := range users {
		home, id := "/home/"+name, j.users[name]
		passwd += fmt.Sprintf("%s:x:%d:%d::%s:/bin/sh\n", name, id, id, home)
		group += fmt.Sprintf("%s:x:%d:\n", name, id)
		if err := os.MkdirAll(j.root(home), 0o755); err != nil {
			return err
		}
		if err := j.chown(name, home); err != nil {
			return err
		}
	}
	for name, text := range map[string]string{
		"passwd": passwd, "group": group,
		"nsswitch.conf": "passwd: files\ngroup: files\nshadow: files\nhosts: files\nservices: files\nprotocols: files\n",
		"hosts":         "127.0.0.1 localhost " + serverName + "\n",
		"protocols":     "tcp 6 TCP\n",
		"services":      "smtp 25/tcp\nsubmission 587/tcp\nsubmissions 465/tcp\n",
		"resolv.conf":   "", "aliases": "",
	} {
		if err := os.WriteFile(j.root("etc/"+name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// root is the path outside of what is at path inside.
func (j *jail) root(path string) string { return j.below(filepath.Join("root", path)) }

// chown gives files to a user, with all that is below them.
func (j *jail) chown(user string, paths ...string) error {
	for _, path := range paths {
		err := filepath.WalkDir(j.root(path), func(path string, _ fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			return os.Lchown(path, j.users[user], j.users[user])
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// certificate puts the server's certificate and key into a directory inside, for
// one user to read.
func (j *jail) certificate(dir, user string) error {
	if err := os.MkdirAll(j.root(dir), 0o755); err != nil {
		return err
	}
	for _, name := range []string{"cert.pem", "key.pem"} {
		text, err := os.ReadFile(j.below(name))
		if err != nil {
			return err
		}
		if err := os.WriteFile(j.root(dir+"/"+name), text, 0o600); err != nil {
			return err
		}
		if err := j.chown(user, dir+"/"+name); err != nil {
			return err
		}
	}
	return nil
}

// command is a command that runs inside.
func (j *jail) command(args ...string) *exec.Cmd {
	script, err := templates.ReadFile("testdata/jail.sh")
	if err != nil {
		panic(err) // it is part of this program
	}
	cmd := exec.Command("/bin/sh", append([]string{"-c", string(script), "jail", j.root(""), j.packages}, args...)...)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin", "LC_ALL=C"}
	// Unshareflags rather than Cloneflags: then Go makes the mounts private first.
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	return cmd
}

// do runs a command inside to its end.
func (j *jail) do(args ...string) error {
	if out, err := j.command(args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(args, " "), err, out)
	}
	return nil
}

// startInside starts a server inside that stays in the foreground.
func (j *jail) startInside(name string, args ...string) error {
	return j.run(name, j.command(args...))
}

func copyTree(from, to string) error {
	if out, err := exec.Command("/bin/cp", "-a", from+"/.", to).CombinedOutput(); err != nil {
		return fmt.Errorf("cp: %w: %s", err, strconv.Quote(string(out)))
	}
	return nil
}
