//go:build linux

package power

import (
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// TestModels says of each thing that a program does what a failure leaves, on a real mount.
func TestModels(t *testing.T) {
	for name, c := range map[string]struct {
		do              func(*tree)
		journal, strict string // "name=content" of what is left
	}{
		"nothing synced":            {func(r *tree) { r.file("a", "1") }, "", ""},
		"a new file synced":         {func(r *tree) { r.file("a", "1"); r.sync("a") }, "a=1", ""},
		"its directory synced":      {func(r *tree) { r.file("a", "1"); r.sync(".") }, "a=", "a="},
		"both synced":               {func(r *tree) { r.file("a", "1"); r.sync("a"); r.sync(".") }, "a=1", "a=1"},
		"in a new directory":        {func(r *tree) { r.mkdir("d"); r.file("d/a", "1"); r.sync("d/a") }, "d/a=1", ""},
		"in one that is synced":     {func(r *tree) { r.mkdir("d"); r.file("d/a", "1"); r.sync("d/a"); r.sync("d") }, "d/a=1", ""},
		"and the one above":         {func(r *tree) { r.mkdir("d"); r.file("d/a", "1"); r.sync("d/a"); r.sync("d"); r.sync(".") }, "d/a=1", "d/a=1"},
		"written after the sync":    {func(r *tree) { r.kept("a", "1"); r.append("a", "2") }, "a=1", "a=1"},
		"written and synced":        {func(r *tree) { r.kept("a", "1"); r.append("a", "2"); r.sync("a") }, "a=12", "a=12"},
		"O_SYNC":                    {func(r *tree) { r.kept("a", "1"); r.open("a", os.O_APPEND|os.O_SYNC, "2") }, "a=12", "a=12"},
		"truncated":                 {func(r *tree) { r.kept("a", "12"); r.must(os.Truncate(r.path("a"), 1)) }, "a=12", "a=12"},
		"truncated and synced":      {func(r *tree) { r.kept("a", "12"); r.must(os.Truncate(r.path("a"), 1)); r.sync("a") }, "a=1", "a=1"},
		"removed":                   {func(r *tree) { r.kept("a", "1"); r.must(os.Remove(r.path("a"))) }, "a=1", "a=1"},
		"removed and synced":        {func(r *tree) { r.kept("a", "1"); r.must(os.Remove(r.path("a"))); r.sync(".") }, "", ""},
		"renamed":                   {func(r *tree) { r.kept("a", "1"); r.rename("a", "b") }, "a=1", "a=1"},
		"renamed and file synced":   {func(r *tree) { r.kept("a", "1"); r.rename("a", "b"); r.sync("b") }, "b=1", "a=1"},
		"renamed over one":          {func(r *tree) { r.kept("a", "1"); r.kept("b", "2"); r.rename("a", "b"); r.sync(".") }, "b=1", "b=1"},
		"another synced later":      {func(r *tree) { r.file("a", "1"); r.file("b", "2"); r.sync("b") }, "a= b=2", ""},
		"another synced before":     {func(r *tree) { r.file("b", "2"); r.file("a", "1"); r.sync("b") }, "b=2", ""},
		"and the directory no more": {func(r *tree) { r.kept("a", "1"); r.file("b", "2"); r.append("a", "3"); r.sync("a") }, "a=13", "a=13"},
	} {
		for model, want := range map[Model]string{Journal: c.journal, Strict: c.strict} {
			t.Run(name+"/"+string(model), func(t *testing.T) {
				d := NewDisk(model)
				r := &tree{t, t.TempDir()}
				unmount := mount(t, r.dir, d)
				c.do(r)
				d.Fail()
				d.Release()
				unmount()
				d.Restart(rand.New(rand.NewPCG(1, 1)), Luck{})
				mount(t, r.dir, d)
				if got := r.all(); got != want {
					t.Errorf("left is %q, want %q", got, want)
				}
			})
		}
	}
}

// With luck a part of what was not synced is left: bytes up to the border of a page, and in a
// journal the oldest names.
func TestLuck(t *testing.T) {
	tails := map[int]bool{}
	for seed := range uint64(100) {
		d := NewDisk(Journal)
		r := &tree{t, t.TempDir()}
		unmount := mount(t, r.dir, d)
		r.kept("a", "1")
		r.append("a", strings.Repeat("x", 3*page))
		r.file("b", "")
		r.file("c", "")
		d.Fail()
		d.Release()
		unmount()
		d.Restart(rand.New(rand.NewPCG(seed, 1)), Luck{0.5, 0.5})
		a, b, c := d.nodes[rootIno].names["a"], d.nodes[rootIno].names["b"], d.nodes[rootIno].names["c"]
		tails[len(a.data)] = true
		if c != nil && b == nil {
			t.Error("a later name without an earlier one")
		}
	}
	for n := range tails {
		if n != 1 && n%page != 0 && n != 3*page+1 {
			t.Errorf("a tail of %d bytes", n)
		}
	}
	if len(tails) < 4 {
		t.Errorf("only %v", tails)
	}
}

func mount(t *testing.T, dir string, d *Disk) (unmount func()) {
	t.Helper()
	un, err := Mount(dir, d)
	if errors.Is(err, syscall.EPERM) || errors.Is(err, fs.ErrNotExist) { // a container; .ci/run says so
		t.Skip("root may not mount here, or there is no /dev/fuse: ", err)
	}
	if err != nil {
		t.Fatal("these tests need root and /dev/fuse: ", err)
	}
	done := false
	unmount = func() {
		if !done {
			done = true
			if err := un(); err != nil {
				t.Error(err)
			}
		}
	}
	t.Cleanup(unmount)
	return unmount
}

// tree is what a program does with a mount.
type tree struct {
	t   *testing.T
	dir string
}

func (r *tree) path(name string) string { return filepath.Join(r.dir, name) }

func (r *tree) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r *tree) open(name string, flags int, content string) {
	r.t.Helper()
	f, err := os.OpenFile(r.path(name), os.O_WRONLY|flags, 0o600)
	r.must(err)
	_, err = f.WriteString(content)
	r.must(err)
	r.must(f.Close())
}

func (r *tree) file(name, content string)   { r.open(name, os.O_CREATE|os.O_TRUNC, content) }
func (r *tree) append(name, content string) { r.open(name, os.O_APPEND, content) }
func (r *tree) kept(name, content string)   { r.file(name, content); r.sync(name); r.sync(".") }
func (r *tree) mkdir(name string)           { r.must(os.Mkdir(r.path(name), 0o700)) }
func (r *tree) rename(from, to string)      { r.must(os.Rename(r.path(from), r.path(to))) }

func (r *tree) sync(name string) {
	r.t.Helper()
	f, err := os.Open(r.path(name))
	r.must(err)
	r.must(f.Sync())
	r.must(f.Close())
}

// all is what is there.
func (r *tree) all() string {
	var list []string
	r.must(filepath.WalkDir(r.dir, func(path string, e os.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			var b []byte
			b, err = os.ReadFile(path)
			name, _ := filepath.Rel(r.dir, path)
			list = append(list, name+"="+string(b))
		}
		return err
	}))
	slices.Sort(list)
	return strings.Join(list, " ")
}
