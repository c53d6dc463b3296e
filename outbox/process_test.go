package outbox_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/fe022423/submission/outbox"
	"github.com/fe022423/submission/smtptest"
)

// A second process on the same directory is refused, and says why; the first one is none the
// worse for it.
func TestSecondProcess(t *testing.T) {
	srv := smtptest.New(t, nil)
	dir := t.TempDir()
	ob := open(t, func(o *outbox.Options) { o.Dir = dir })
	enqueue(t, ob, envelope(), nil)
	cmd := exec.CommandContext(deadline(t), os.Args[0])
	cmd.Env = append(os.Environ(), childDir+"="+dir, childAddr+"="+srv.Addr(), childTorture+"=10 1 1")
	said, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(said), "in use by another process") || !strings.Contains(string(said), dir) {
		t.Errorf("%v: %s", err, said)
	}
	w := work(t, ob, srv, nil)
	w.must(outbox.Sent)
	w.stop()
	if len(srv.Messages()) != 1 {
		t.Errorf("%d messages", len(srv.Messages()))
	}
}
