//go:build linux

package relay

import (
	"bufio"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	_ "github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib"
	_ "github.com/lib/pq"
	_ "modernc.org/sqlite"

	"github.com/fe022423/submission/outbox/relay"
)

// engine is a database, reached by one driver.
type engine struct {
	name, driver string
	dialect      relay.Dialect
	server       *process // nil for SQLite
}

// engines are all of them. SQLite needs no server; the others have one for all tests.
var engines = []engine{
	{"SQLite", "sqlite", relay.SQLite, nil},
	{"PostgreSQL", "pgx", relay.Postgres, postgres},
	{"PostgreSQL with pq", "postgres", relay.Postgres, postgres},
	{"MariaDB", "mysql", relay.MySQL, mariadb},
}

// each runs a test with every driver.
func each(t *testing.T, test func(t *testing.T, e engine)) {
	for _, e := range engines {
		t.Run(e.name, func(t *testing.T) { test(t, e) })
	}
}

// databases are those of the engines that have a database of their own.
func databases() (list []engine) {
	for _, e := range engines {
		if e.driver != "postgres" {
			list = append(list, e)
		}
	}
	return list
}

// eachDatabase runs a test with every database.
func eachDatabase(t *testing.T, test func(t *testing.T, e engine)) {
	for _, e := range databases() {
		t.Run(e.name, func(t *testing.T) { test(t, e) })
	}
}

// atOnce runs a test with every database, at once: it waits more than it works.
func atOnce(t *testing.T, test func(t *testing.T, e engine)) {
	for _, e := range databases() {
		t.Run(e.name, func(t *testing.T) { t.Parallel(); test(t, e) })
	}
}

// fresh is the DSN of a database of the test's own, with the table, and one of orders. The
// Schema is executed twice: it does nothing the second time.
func (e engine) fresh(t *testing.T) (dsn string) {
	t.Helper()
	if e.server != nil {
		if err := e.server.ensure(); err != nil {
			t.Fatal(err)
		}
	}
	switch e.dialect {
	case relay.SQLite:
		dsn = "file:" + filepath.Join(t.TempDir(), "db") + "?_pragma=busy_timeout(20000)&_pragma=journal_mode(WAL)&_txlock=immediate"
	case relay.Postgres:
		dsn = "host=" + e.server.dir + " user=test sslmode=disable dbname="
	case relay.MySQL:
		dsn = "root@unix(" + filepath.Join(e.server.dir, "socket") + ")/"
	}
	if e.server != nil {
		name := fmt.Sprintf("test%d", e.server.databases.next())
		admin := e.open(t, dsn+map[relay.Dialect]string{relay.Postgres: "postgres"}[e.dialect])
		must(t, admin, "CREATE DATABASE "+name)
		admin.Close()
		dsn += name
	}
	db := e.open(t, dsn)
	defer db.Close()
	for range 2 {
		must(t, db, relay.Schema(e.dialect))
	}
	must(t, db, "CREATE TABLE orders (name VARCHAR(40) PRIMARY KEY)")
	return dsn
}

func (e engine) open(t testing.TB, dsn string) *sql.DB {
	t.Helper()
	db, err := sql.Open(e.driver, dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func must(t testing.TB, db *sql.DB, query string, args ...any) {
	t.Helper()
	if _, err := db.ExecContext(deadline(t), query, args...); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

type counter struct {
	mu sync.Mutex
	n  int
}

func (c *counter) next() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n++
	return c.n
}

// process is a database server of the tests' own, on a socket in a directory of its own.
type process struct {
	name, user string
	needs      string // the package of Debian
	make       func(s *process) *exec.Cmd
	run        func(s *process) *exec.Cmd
	ready      string         // what it logs when it can be used
	crash      syscall.Signal // ends it at once, with nothing tidied up

	mu        sync.Mutex
	dir       string
	databases counter
	cmd       *exec.Cmd
	exited    chan struct{}
}

// Nothing here is synced: processes are killed, the machine is not.
var (
	postgres = &process{
		name: "PostgreSQL", user: "postgres", needs: "postgresql",
		make: func(s *process) *exec.Cmd {
			return exec.Command("/usr/lib/postgresql/15/bin/initdb", "-D", s.data(), "-U", "test", "--auth=trust", "--no-sync")
		},
		run: func(s *process) *exec.Cmd {
			return exec.Command("/usr/lib/postgresql/15/bin/postgres", "-D", s.data(), "-k", s.dir, "-h", "", "-F")
		},
		ready: "database system is ready to accept connections",
		crash: syscall.SIGQUIT, // its children end with it; what was not committed is lost as in a crash
	}
	mariadb = &process{
		name: "MariaDB", user: "mysql", needs: "mariadb-server",
		make: func(s *process) *exec.Cmd {
			return exec.Command("/usr/bin/mariadb-install-db", "--no-defaults", "--datadir="+s.data(), "--auth-root-authentication-method=normal", "--skip-test-db")
		},
		run: func(s *process) *exec.Cmd {
			return exec.Command("/usr/sbin/mariadbd", "--no-defaults", "--datadir="+s.data(), "--socket="+filepath.Join(s.dir, "socket"),
				"--skip-networking", "--pid-file="+filepath.Join(s.dir, "pid"), "--innodb-flush-log-at-trx-commit=2")
		},
		ready: "ready for connections",
		crash: syscall.SIGKILL,
	}
)

func (s *process) data() string { return filepath.Join(s.dir, "data") }

// ensure starts the server if it does not run. A server that is not installed is an error.
func (s *process) ensure() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd != nil {
		return nil
	}
	var err error
	if s.dir, err = os.MkdirTemp("", "relay"); err != nil {
		return err
	}
	if err := errors.Join(os.Chmod(s.dir, 0o755), s.own(s.dir)); err != nil {
		return err
	}
	cmd := s.make(s)
	s.as(cmd)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: is the package %s installed? %s", s.name, err, s.needs, out)
	}
	return s.start()
}

// as has a command run as the user of the server: both refuse to run as root.
func (s *process) as(cmd *exec.Cmd) {
	cmd.Dir = s.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: s.crash}
	if uid, gid, err := s.ids(); os.Getuid() == 0 && err == nil {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	}
}

func (s *process) own(dir string) error {
	if os.Getuid() != 0 {
		return nil
	}
	uid, gid, err := s.ids()
	if err != nil {
		return fmt.Errorf("%s: %w: is the package %s installed?", s.name, err, s.needs)
	}
	return os.Chown(dir, uid, gid)
}

func (s *process) ids() (uid, gid int, err error) {
	u, err := user.Lookup(s.user)
	if err != nil {
		return 0, 0, err
	}
	uid, err = strconv.Atoi(u.Uid)
	gid, err2 := strconv.Atoi(u.Gid)
	return uid, gid, errors.Join(err, err2)
}

// start returns when the server can be used.
func (s *process) start() error {
	cmd := s.run(s)
	s.as(cmd)
	log, err := cmd.StderrPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return err
	}
	s.cmd, s.exited = cmd, make(chan struct{})
	ready, exited := make(chan struct{}), s.exited
	var tail []string
	go func() {
		up := false
		for lines := bufio.NewScanner(log); lines.Scan(); {
			if tail = append(tail, lines.Text()); !up && strings.Contains(lines.Text(), s.ready) {
				up = true
				close(ready)
			}
		}
		cmd.Wait()
		close(exited)
	}()
	select {
	case <-ready:
		return nil
	case <-exited:
		return fmt.Errorf("%s did not start: %s", s.name, strings.Join(tail, "\n"))
	case <-time.After(time.Minute):
		return fmt.Errorf("%s is not ready after a minute", s.name)
	}
}

// kill ends the server as a crash does.
func (s *process) kill() {
	s.cmd.Process.Signal(s.crash)
	<-s.exited
}

// remove ends the server for good.
func (s *process) remove() {
	if s.cmd != nil {
		s.kill()
	}
	if s.dir != "" {
		os.RemoveAll(s.dir)
	}
}
