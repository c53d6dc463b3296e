//go:build unix

package cluster

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const nodeCount = 3

// nodes are the servers of a cluster. Each reaches each other one by a proxy of its own, and
// clients reach each by another one.
type nodes struct {
	t      testing.TB
	binary string
	list   [nodeCount]*node
}

type node struct {
	t              testing.TB
	binary, folder string
	config         string
	port           string
	clients        *proxy            // in front of it, for the clients
	routes         [nodeCount]*proxy // in front of it, for each of the others

	mu  sync.Mutex
	cmd *exec.Cmd // nil while it is down
}

// buildServer builds the server of the version that go.mod names.
func buildServer(folder string) (name string, err error) {
	name = filepath.Join(folder, "nats-server")
	if out, err := exec.Command("go", "build", "-o", name, "github.com/nats-io/nats-server/v2").CombinedOutput(); err != nil {
		return "", fmt.Errorf("the server cannot be built: %w\n%s", err, out)
	}
	return name, nil
}

// freePort is one that nobody uses now. A node needs the same one in each of its lives, so it
// is not one of those that connections get.
func freePort(t testing.TB) string {
	t.Helper()
	for range 100 {
		port := fmt.Sprint(20000 + rand.N(12000))
		if l, err := net.Listen("tcp", "127.0.0.1:"+port); err == nil {
			l.Close()
			return port
		}
	}
	t.Fatal("no port is free")
	return ""
}

func newNodes(t testing.TB) *nodes {
	t.Helper()
	n := &nodes{t: t, binary: serverBinary}
	var routePort [nodeCount]string
	for i := range n.list {
		routePort[i] = freePort(t)
		n.list[i] = &node{t: t, binary: n.binary, folder: t.TempDir(), port: freePort(t)}
		n.list[i].clients = newProxy(t, "127.0.0.1:"+n.list[i].port)
		for j := range n.list {
			n.list[i].routes[j] = newProxy(t, "127.0.0.1:"+routePort[i])
		}
	}
	for i, self := range n.list {
		var routes []string
		for j, other := range n.list {
			if j != i {
				routes = append(routes, "nats://"+other.routes[i].addr())
			}
		}
		// The address that it advertises leads nowhere: others are to use the proxies.
		self.write(fmt.Sprintf(`server_name: node%d
listen: "127.0.0.1:%s"
jetstream { store_dir: %q, sync_interval: always }
cluster { name: trial, listen: "127.0.0.1:%s", advertise: "127.0.0.1:1", no_advertise: true, routes: [%s] }
`, i, self.port, filepath.Join(self.folder, "store"), routePort[i], strings.Join(routes, ", ")))
	}
	for _, self := range n.list {
		self.start()
	}
	t.Cleanup(func() {
		for i, self := range n.list {
			self.kill()
			if t.Failed() {
				n.tail(i)
			}
		}
	})
	return n
}

// tail shows the end of what a node logged.
func (n *nodes) tail(i int) {
	log, _ := os.ReadFile(filepath.Join(n.list[i].folder, "log"))
	n.t.Logf("the log of node %d ends with:\n%s", i, log[max(0, len(log)-800):])
}

func (n *node) write(config string) {
	n.config = filepath.Join(n.folder, "config")
	if err := os.WriteFile(n.config, []byte(config), 0o600); err != nil {
		n.t.Fatal(err)
	}
}

func (n *node) start() {
	n.mu.Lock()
	defer n.mu.Unlock()
	cmd := exec.Command(n.binary, "-c", n.config)
	log, err := os.OpenFile(filepath.Join(n.folder, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err == nil {
		defer log.Close()
		cmd.Stdout, cmd.Stderr = log, log
		err = cmd.Start()
	}
	if err != nil {
		n.t.Error(err)
		return
	}
	n.cmd = cmd
}

// kill is kill -9, and waits until the process is gone. A node that is down stays so.
func (n *node) kill() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.cmd != nil {
		n.cmd.Process.Kill()
		n.cmd.Wait()
	}
	n.cmd = nil
}

// remove kills a node for good: its store is gone.
func (n *node) remove() {
	n.kill()
	if err := os.RemoveAll(filepath.Join(n.folder, "store")); err != nil {
		n.t.Error(err)
	}
}

// freeze stops a node and returns when it has stopped.
func (n *node) freeze() {
	n.mu.Lock()
	defer n.mu.Unlock()
	stop(n.cmd)
}

func (n *node) thaw() {
	n.mu.Lock()
	defer n.mu.Unlock()
	resume(n.cmd)
}

func stop(cmd *exec.Cmd) {
	if cmd == nil || cmd.Process.Signal(syscall.SIGSTOP) != nil {
		return
	}
	var status syscall.WaitStatus
	for { // it is told when the process has stopped
		if _, err := syscall.Wait4(cmd.Process.Pid, &status, syscall.WUNTRACED, nil); err != syscall.EINTR {
			return
		}
	}
}

func resume(cmd *exec.Cmd) {
	if cmd != nil {
		cmd.Process.Signal(syscall.SIGCONT)
	}
}

// url is what a client is given: the proxies of all nodes.
func (n *nodes) url() string {
	var list []string
	for _, self := range n.list {
		list = append(list, "nats://"+self.clients.addr())
	}
	return strings.Join(list, ",")
}

// aside is a connection that no proxy stands in front of.
func (n *nodes) aside() jetstream.JetStream {
	n.t.Helper()
	var list []string
	for _, self := range n.list {
		list = append(list, "nats://127.0.0.1:"+self.port)
	}
	nc, err := nats.Connect(strings.Join(list, ","), nats.MaxReconnects(-1), nats.RetryOnFailedConnect(true))
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		n.t.Fatal(err)
	}
	return js
}

// leader is the number of the node that leads a stream. It asks until there is one.
func (n *nodes) leader(ctx context.Context, js jetstream.JetStream, stream string) int {
	n.t.Helper()
	for ctx.Err() == nil {
		s, err := js.Stream(ctx, stream)
		if err != nil || s.CachedInfo().Cluster == nil {
			continue
		}
		for i := range n.list {
			if s.CachedInfo().Cluster.Leader == fmt.Sprint("node", i) {
				return i
			}
		}
	}
	n.t.Fatal("the stream has no leader")
	return 0
}

// partition cuts a node off from the other nodes, from the clients, or from both, until
// heal is called.
func (n *nodes) partition(i int, fromNodes, fromClients bool, m proxyMode) (heal func()) {
	var all []*proxy
	if fromClients {
		all = append(all, n.list[i].clients)
	}
	if fromNodes {
		for j, other := range n.list {
			if j != i {
				all = append(all, n.list[i].routes[j], other.routes[i])
			}
		}
	}
	for _, p := range all {
		p.set(m)
	}
	return func() {
		for _, p := range all {
			p.set(passing)
		}
	}
}
