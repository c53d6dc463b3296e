// Package docs holds the guides. Its test compiles every snippet of Go in them and in
// README.md, and runs those that can be run.
//
// A snippet is a fence that begins with ```go. There are three kinds:
//
//   - a program begins with "package main";
//   - declarations stand at the top of a file, and may have imports;
//   - statements stand in the body of a function, whose variables are those of the table
//     prelude: ctx, client, err and others. They may return an error.
//
// Imports that are missing are added for the packages of the table packages. All snippets of
// a page are one package, so that one may use what another declares.
//
// A comment on the line before the fence says more:
//
//	<!-- run -->               statements print what follows "// Output:" in them, and so does
//	                           a program, which finds a server at $MAIL_URL; the tests
//	                           among declarations pass
//	<!-- module: examples -->  the snippet needs what the module in that folder requires
package docs

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/fe022423/submission/smtptest"
)

const (
	library = "github.com/fe022423/submission"
	// patience is for a machine that has to compile all of crypto/tls first.
	patience = 5 * time.Minute
)

func TestSnippets(t *testing.T) {
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	byModule := map[string][]snippet{}
	for _, page := range pages(t, root) {
		text, err := os.ReadFile(filepath.Join(root, page))
		if err != nil {
			t.Fatal(err)
		}
		found, err := readPage(filepath.ToSlash(page), string(text))
		if err != nil {
			t.Error(err)
		}
		for _, s := range found {
			byModule[s.module] = append(byModule[s.module], s)
		}
	}
	if len(byModule["."]) == 0 {
		t.Fatal("no snippet was found")
	}
	for _, folder := range slices.Sorted(maps.Keys(byModule)) {
		t.Run(folder, func(t *testing.T) {
			m := newModule(t, root, folder)
			programs := m.write(byModule[folder])
			m.goTool("vet", "-unreachable=false", "./...")
			if m.tested {
				m.goTool("test", "-vet=off", "./run")
			}
			m.runAll(programs)
		})
	}
}

// pages returns the paths of README.md and of all guides, from the root.
func pages(t *testing.T, root string) []string {
	list := []string{"README.md"}
	err := filepath.WalkDir(root+"/docs", func(path string, _ fs.DirEntry, err error) error {
		if err == nil && filepath.Ext(path) == ".md" {
			path, err = filepath.Rel(root, path)
			list = append(list, path)
		}
		return err
	})
	if err != nil || len(list) < 2 {
		t.Fatalf("pages %v, %v", list, err)
	}
	return list
}

// module is a module for the snippets, with the requirements of one of the repository.
type module struct {
	t      *testing.T
	root   string
	dir    string
	tested bool // the package run has something to run
}

func newModule(t *testing.T, root, folder string) *module {
	m := &module{t: t, root: root, dir: t.TempDir()}
	for _, name := range []string{"go.mod", "go.sum"} {
		text, err := os.ReadFile(filepath.Join(root, folder, name))
		if err != nil {
			t.Fatalf("module %s of a snippet: %v", folder, err)
		}
		m.file(name, string(text))
	}
	m.goTool("mod", "edit", "-module=snippets", "-require="+library+"@v0.0.0", "-replace="+library+"="+root)
	return m
}

// write writes the files of the snippets. It returns the programs to run.
func (m *module) write(list []snippet) (programs []snippet) {
	declared := map[string]map[string]bool{}
	for _, s := range list {
		if declared[s.page] == nil {
			declared[s.page] = map[string]bool{}
		}
		maps.Copy(declared[s.page], s.declares())
	}
	var tests runner
	for _, s := range list {
		f, err := s.complete(m.root, declared[s.page])
		if err != nil {
			m.t.Error(err)
			continue
		}
		m.file(f.path, f.text)
		switch {
		case s.run && s.kind == program:
			programs = append(programs, s)
		case s.run:
			tests.add(s, f)
		}
	}
	if m.tested = len(tests.calls) > 0; m.tested {
		m.file("run/run_test.go", tests.file())
	}
	return programs
}

// runAll runs programs, each with a server of its own.
func (m *module) runAll(programs []snippet) {
	for _, s := range programs {
		srv := smtptest.New(m.t, &smtptest.Config{Accounts: map[string]string{"shop": "a secret"}})
		m.t.Setenv("MAIL_URL", srv.URL())
		m.goTool("build", "-o", "program.exe", "./"+s.folder())
		got := m.command(filepath.Join(m.dir, "program.exe"))
		if want := s.output(); strings.TrimSpace(got) != want {
			m.t.Errorf("%s: the program printed\n%swant\n%s", s, got, want)
		}
	}
}

func (m *module) file(path, text string) {
	path = filepath.Join(m.dir, path)
	err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600))
	if err != nil {
		m.t.Fatal(err)
	}
}

// goTool runs the go command. What it says of a snippet names the line of the page.
func (m *module) goTool(command string, args ...string) {
	if command != "mod" {
		args = append([]string{"-mod=mod"}, args...)
	}
	m.command("go", append([]string{command}, args...)...)
}

// command runs a command, and returns what it printed.
func (m *module) command(name string, args ...string) string {
	ctx, cancel := context.WithTimeout(m.t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = m.dir
	cmd.Env = append(os.Environ(), "GOWORK=off")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		m.t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out.String())
	}
	return out.String()
}

// runner is the test file that runs snippets.
type runner struct {
	imports map[string]bool
	calls   []string
}

// add has the statements of a snippet run as an example, or the tests among its
// declarations.
func (r *runner) add(s snippet, f completed) {
	if r.imports == nil {
		r.imports = map[string]bool{}
	}
	r.imports[strconv.Quote("snippets/"+s.folder())] = true
	name := s.name() + "_" + strconv.Itoa(s.line)
	for _, test := range f.tests {
		r.calls = append(r.calls, "func Test_"+name+"_"+test+"(t *testing.T) { "+s.name()+"."+test+"(t) }\n")
	}
	if s.kind != statements {
		return
	}
	var b strings.Builder
	b.WriteString("func Example_" + name + "() {\n\ts := begin()\n\tdefer s.end()\n")
	b.WriteString("\tif err := " + s.name() + "." + s.function() + "(" + strings.Join(f.args, ", ") + "); err != nil {\n")
	b.WriteString("\t\tfmt.Println(\"returned\", err)\n\t}\n\t// Output:\n")
	for line := range strings.Lines(s.output()) {
		b.WriteString("\t// " + strings.TrimRight(line, "\n") + "\n")
	}
	b.WriteString("}\n")
	r.calls = append(r.calls, b.String())
}

func (r *runner) file() string {
	imports := strings.Join(slices.Sorted(maps.Keys(r.imports)), "\n")
	return strings.Replace(stage, "IMPORTS", imports, 1) + strings.Join(r.calls, "\n")
}

// stage is what the statements that are run play on.
const stage = `package run

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"` + library + `"
	"` + library + `/smtptest"
	IMPORTS
)

var (
	_ testing.TB
	_ = context.Background
	_ = slog.New
	_ = strings.NewReader
)

type playing struct {
	srv     *smtptest.Server
	options *submission.Options
	client  *submission.Client
}

func begin() *playing {
	srv := smtptest.NewServer(&smtptest.Config{Accounts: map[string]string{"shop": "a secret"}})
	options := &submission.Options{
		TLSConfig: srv.ClientTLSConfig(),
		Auth:      submission.Password{Username: "shop", Password: "a secret"},
	}
	client, err := submission.New(srv.Addr(), options)
	if err != nil {
		panic(fmt.Sprint(err))
	}
	return &playing{srv, options, client}
}

func (p *playing) end() {
	p.client.Close()
	p.srv.Close()
}
`
