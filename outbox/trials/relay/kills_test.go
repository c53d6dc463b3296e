//go:build linux

package relay

import (
	"context"
	"database/sql"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/fe022423/submission/outbox"
	"github.com/fe022423/submission/outbox/relay"
	"github.com/fe022423/submission/smtptest"
)

// large is TestKills at length: 5,000 orders and 80 kills for each database, some minutes.
var large = flag.Bool("large", false, "kill more often, and more orders")

// A child of TestKills finds here what it needs.
const (
	childDSN    = "RELAY_TEST_DSN"
	childDriver = "RELAY_TEST_DRIVER"
	childQueue  = "RELAY_TEST_QUEUE"
	childOrders = "RELAY_TEST_ORDERS"
)

const (
	children = 2
	writers  = 4 // of each child
	pace     = 20 * time.Millisecond
)

// child takes orders, each in a transaction with its mail, and runs the relay, until there are
// enough or it is killed. Each fifth transaction is rolled back.
func child() {
	ctx := context.Background()
	db, err := sql.Open(os.Getenv(childDriver), os.Getenv(childDSN))
	if err != nil {
		panic(err)
	}
	q, err := outbox.Open(ctx, &outbox.Options{URL: os.Getenv(childQueue)})
	if err != nil {
		panic(err)
	}
	go relay.Run(ctx, db, q)
	for range writers {
		go func() {
			i := 0
			for range time.Tick(pace) { // as fast as the queue takes them, or kills would meet only one of both
				i++
				if enough, err := order(ctx, db, i%5 == 4); enough {
					return
				} else if err != nil {
					fmt.Fprintln(os.Stderr, "an order:", err)
				}
			}
		}()
	}
	select {}
}

func order(ctx context.Context, db *sql.DB, rollBack bool) (enough bool, err error) {
	if err := db.QueryRowContext(ctx, "SELECT count(*) >= "+os.Getenv(childOrders)+" FROM orders").Scan(&enough); err != nil || enough {
		return enough, err
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return false, err
	}
	defer tx.Rollback()
	name := fmt.Sprintf("order%x", rand.Uint64())
	if rollBack {
		name = "undone" + name
	}
	if _, err := tx.ExecContext(ctx, "INSERT INTO orders VALUES ('"+name+"')"); err != nil {
		return false, err
	}
	if err := relay.Insert(ctx, tx, envelope(name+"@example.net"), strings.NewReader(text(name)), nil); err != nil || rollBack {
		return false, err
	}
	return false, tx.Commit()
}

// natsServer is the engine of a queue that several processes reach; it is not killed.
func natsServer(t *testing.T) (url string) {
	t.Helper()
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: t.TempDir(), NoSigs: true, SyncAlways: true})
	if err != nil {
		t.Fatal(err)
	}
	go s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(time.Minute) {
		t.Fatal("the server did not start")
	}
	return s.ClientURL()
}

// TestKills has two processes take orders and run the relay, and kills them with kill -9 at random,
// again and again. At the end each order that was committed has its mail, once; none that
// was not has one.
func TestKills(t *testing.T) {
	orders, kills := 500, 8
	if *large {
		orders, kills = 5000, 80
	}
	logged(t)
	atOnce(t, func(t *testing.T, e engine) {
		dsn := e.fresh(t)
		db, happened := e.observed(t, dsn)
		url, srv := natsServer(t), smtptest.NewServer(nil)
		t.Cleanup(srv.Close)
		q := open(t, func(o *outbox.Options) { o.Dir, o.URL = "", url })
		work(t, q, srv)
		env := []string{childDSN + "=" + dsn, childDriver + "=" + e.driver, childQueue + "=" + url, childOrders + "=" + fmt.Sprint(orders)}
		var alive []*exec.Cmd
		for range children {
			alive = append(alive, startChild(t, env))
		}
		for k := range kills {
			if _, err := srv.Wait(deadline(t), orders*(k+1)/(kills+2)+rand.IntN(orders/(kills+2))); err != nil {
				t.Fatal(err)
			}
			end(alive[k%children])
			alive[k%children] = startChild(t, env)
		}
		until(t, poll(t), "there are enough orders", func() bool { return len(committed(t, db)) >= orders })
		for _, c := range alive {
			end(c)
		}
		run(t, db, q)
		until(t, happened, "the table is empty", func() bool { return count(t, db, "1 = 1") == 0 })
		until(t, happened, "nothing is queued", func() bool {
			s, err := q.Stats(deadline(t))
			return err == nil && s.Counts[outbox.Sent] == sum(s.Counts)
		})
		lost, twice, wrong := 0, 0, 0
		names, got := committed(t, db), arrived(srv)
		for _, name := range names {
			switch n := got[name+"@example.net"]; {
			case n == 0:
				lost++
			case n > 1:
				twice++
			}
			delete(got, name+"@example.net")
		}
		wrong = len(got)
		t.Logf("%s: %d orders, %d processes with %d writers, %d kills: %d lost, %d twice, %d without an order",
			e.name, len(names), children, writers, kills, lost, twice, wrong)
		if lost+twice+wrong > 0 {
			t.Fail()
		}
	})
}

func sum[K comparable](m map[K]int) (n int) {
	for _, v := range m {
		n += v
	}
	return n
}

// poll looks again after a moment, for what happens in other processes.
func poll(t *testing.T) <-chan struct{} {
	c, done := make(chan struct{}), make(chan struct{})
	t.Cleanup(func() { close(done) })
	go func() {
		for tick := time.Tick(50 * time.Millisecond); ; {
			select {
			case <-done:
				return
			case <-tick:
			}
			select {
			case <-done:
				return
			case c <- struct{}{}:
			}
		}
	}()
	return c
}

func committed(t *testing.T, db *sql.DB) (names []string) {
	t.Helper()
	rows, err := db.QueryContext(deadline(t), "SELECT name FROM orders")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return names
}

func startChild(t *testing.T, env []string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), env...)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { end(cmd) })
	return cmd
}

func end(cmd *exec.Cmd) {
	cmd.Process.Kill()
	cmd.Wait()
}
