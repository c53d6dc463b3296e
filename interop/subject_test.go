//go:build linux

package interop

import (
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/fe022423/submission"
)

// subject is a running instance of a server, as the tests see it.
type subject struct {
	*peer
	place
	*supervisor
}

// launchPeer starts an instance for a test and what the test runs below it.
func launchPeer(t *testing.T, p *peer, strict bool) *subject {
	t.Helper()
	return launchAt(t, p, place{Strict: strict})
}

// launchAt is launchPeer with what is said of the instance.
func launchAt(t *testing.T, p *peer, at place) *subject {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("these tests must run as root: the servers change users")
	}
	if err := p.check(); err != nil {
		t.Fatal(err)
	}
	var err error
	for range startTries {
		var s *subject
		if s, err = tryPeer(p, at); err == nil {
			t.Cleanup(func() {
				if err := s.stop(); err != nil {
					t.Errorf("stopping %s: %v", p.name, err)
				}
			})
			return s
		}
		t.Logf("%s did not start: %v", p.name, err)
	}
	t.Fatalf("%s did not start after %d tries", p.name, startTries)
	return nil
}

func tryPeer(p *peer, at place) (*subject, error) {
	at.Peer, at.ID = p.name, rand.Text()
	s := &subject{peer: p, place: at}
	if err := s.prepare(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(s.Dir))
	}
	role, err := json.Marshal(s.place)
	if err != nil {
		return nil, err
	}
	if s.supervisor, err = startSupervisor(string(role)); err != nil {
		return nil, err
	}
	if err := s.hear(); err != nil {
		return nil, errors.Join(err, s.stop())
	}
	return s, nil
}

// prepare makes the directory, chooses ports and builds the server.
func (s *subject) prepare() (err error) {
	if s.Dir, err = openDir(memoryDirs()...); err != nil {
		return err
	}
	if s.CA, err = writeCertificates(s.Dir); err != nil {
		return err
	}
	taken := make(map[int]bool)
	for _, port := range []*int{&s.Port, &s.TLSPort} {
		if *port, err = freePort(taken); err != nil {
			return err
		}
		taken[*port] = true
	}
	if s.build == nil {
		return nil
	}
	return s.build(s.place)
}

// memoryDirs is where files lie in memory, if there is such a place: servers wait
// for the disk with each message, which takes most of their time.
func memoryDirs() []string {
	const dir, enough = "/dev/shm", 1 << 28
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil || st.Bavail*uint64(st.Bsize) < enough {
		return nil
	}
	return []string{dir}
}

// hear reads the supervisor's answer.
func (s *subject) hear() error {
	var a answer
	if err := s.answers.Decode(&a); err != nil {
		return fmt.Errorf("the supervisor is gone: %w", err)
	}
	if a.Error != "" {
		return errors.New(a.Error)
	}
	return nil
}

// restart stops the server, with all its sessions, and starts it again.
func (s *subject) restart(t *testing.T) {
	t.Helper()
	if _, err := io.WriteString(s.lifeline, restartOrder+"\n"); err != nil {
		t.Fatal(err)
	}
	if err := s.hear(); err != nil {
		t.Fatal(err)
	}
}

// mode is how sessions are secured where a test does not care.
func (s *subject) mode() submission.TLSMode {
	if s.offers.startTLS.given {
		return submission.TLSStartTLS
	}
	return submission.TLSNone
}

// client makes a Client that does everything right.
func (s *subject) client(t *testing.T, edits ...func(*submission.Options)) *submission.Client {
	t.Helper()
	o := &submission.Options{
		TLS:       s.mode(),
		TLSConfig: &tls.Config{RootCAs: roots(s.CA)},
		Auth:      submission.Password{Username: account, Password: password},
		From:      account,
		LocalName: "client.test.example",
	}
	for _, edit := range edits {
		edit(o)
	}
	port := s.Port
	if o.TLS == submission.TLSImplicit {
		port = s.TLSPort
	}
	c, err := submission.New(loopback(port), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// transfers are the ways in which the server takes a message.
func (s *subject) transfers() (list []transfer) {
	for _, tr := range transfers {
		bdat := tr.name[0] == 'B'
		pipelined := len(tr.disable) == 0 || tr.disable[len(tr.disable)-1] != "PIPELINING"
		if (!bdat || s.offers.has("CHUNKING")) && (!pipelined || s.offers.has("PIPELINING")) {
			list = append(list, tr)
		}
	}
	return list
}

// expect checks that the server delivered the message once to each of the
// recipients, and nothing else of it, and takes it out of the store.
func (s *subject) expect(t *testing.T, m message, recipients ...string) {
	t.Helper()
	s.expectContent(t, m, s.asStored("", m), recipients...)
}

// asStored is what the server makes of a message of octetTests, or of another; nil if
// it is declared to refuse it.
func (s *subject) asStored(test string, m message) []byte {
	if s.offers.altered == nil {
		return m.canonical()
	}
	return s.offers.altered(test, m.canonical())
}

func (s *subject) expectContent(t *testing.T, m message, content []byte, recipients ...string) {
	t.Helper()
	var found []delivery
	for deadline := time.Now().Add(deliveryTime); ; time.Sleep(5 * time.Millisecond) {
		s.settle(t)
		found = append(found, s.collect(t, m)...)
		if len(found) >= len(recipients) || time.Now().After(deadline) {
			break
		}
	}
	checkDeliveries(t, found, content, recipients)
}

// collect takes every copy of the message that is there out of the store.
func (s *subject) collect(t *testing.T, m message) (found []delivery) {
	t.Helper()
	all, err := s.stored(s.place)
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range all {
		i := bytes.Index(one.raw, m.line())
		if i < 0 || i > 0 && one.raw[i-1] != '\n' || bytes.Contains(one.raw[:i], []byte("\r\n\r\n")) {
			continue
		}
		trace := string(one.raw[:i])
		to := one.to
		if len(to) == 0 {
			to = fields(trace, "Delivered-To")
		}
		for _, to := range to {
			found = append(found, delivery{to: to, trace: trace, content: one.raw[i:]})
		}
		if err := one.remove(); err != nil {
			t.Fatal(err)
		}
	}
	return found
}

// expectNothing checks that no message is left when all that were to be there were
// taken out: none came twice or late.
func (s *subject) expectNothing(t *testing.T) {
	t.Helper()
	s.settle(t)
	all, err := s.stored(s.place)
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range all {
		t.Errorf("there is one more message:\n%.1000s", one.raw)
	}
}

const deliveryTime = 20 * time.Second

// settle waits until the server has delivered all that it accepted.
func (s *subject) settle(t *testing.T) {
	t.Helper()
	deadline := time.Now().Add(deliveryTime)
	for empty := 0; empty < 2; {
		if left := s.left(); len(left) == 0 {
			empty++
			continue
		} else if time.Now().After(deadline) {
			t.Fatalf("the queue does not empty: %q", left)
		}
		empty = 0
		time.Sleep(5 * time.Millisecond)
	}
}

func (s *subject) left() (files []string) {
	for _, pattern := range s.queued {
		found, err := filepath.Glob(s.below(pattern))
		if err != nil {
			panic(err) // the pattern is wrong
		}
		for _, name := range found {
			st, err := os.Stat(name)
			if err == nil && st.Mode()&s.queuedMode == s.queuedMode {
				files = append(files, name)
			}
		}
	}
	return files
}
