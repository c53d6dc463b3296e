// Package docs holds the guides. Its test compiles every snippet of Go in them and in
// README.md, and runs those that can be run.
//
// A snippet is a fence that begins with ```go. There are three kinds:
//
//   - a program begins with "package main";
//   - declarations stand at the top of a file; if they begin with imports, those are all;
//   - statements stand in the body of a function, whose variables are those of the table
//     prelude: ctx, client, err and others. They may return an error.
//
// Where there are no imports, those of the table packages are added. All snippets of a page
// but programs are one package, so that one may use what another declares.
//
// A comment on the line before the fence says more:
//
//	<!-- run -->               statements print what follows "// Output:" in them, and so does
//	                           a program, which finds a server at $SUBMISSION_URL; the tests
//	                           among declarations pass
//	<!-- module: examples -->  the snippet needs what the module in that folder requires
package docs

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
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
	byModule, runs := map[string][]snippet{}, 0
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
			if s.run {
				runs++
			}
		}
	}
	if len(byModule["."]) == 0 || runs == 0 {
		t.Fatalf("%d snippets were found, %d of them to run", len(byModule["."]), runs)
	}
	for _, folder := range slices.Sorted(maps.Keys(byModule)) {
		t.Run(folder, func(t *testing.T) {
			if err := newModule(t, root, folder).check(byModule[folder]); err != nil {
				t.Error(err)
			}
		})
	}
}

// A snippet that does not compile, or does not do what it says, is found, and the error says
// where it stands.
func TestBrokenSnippets(t *testing.T) {
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	const run = "<!-- run -->\n"
	tests := map[string]struct{ text, want string }{
		"no such method":     {"```go\nclient.Nothing()\n```\n", "p.md:2"},
		"no such variable":   {"```go\nnothing.Send()\n```\n", "p.md:2"},
		"unused inside":      {"```go\nif err != nil {\n\tx := 1\n}\n```\n", "p.md:3"},
		"declaration":        {"```go\nvar x int = \"x\"\n```\n", "p.md:2"},
		"program":            {"```go\npackage main\n\nfunc main() { nothing() }\n```\n", "p.md:4"},
		"its own imports":    {"```go\nimport \"mime\"\n\nvar _ mime.WordDecoder\nvar _ net.Conn\n```\n", "p.md:5"},
		"vet":                {"```go\nfmt.Printf(\"%d\", \"x\")\n```\n", "p.md:2"},
		"other output":       {run + "```go\nfmt.Println(1)\n// Output: 2\n```\n", "Example_p_3"},
		"returns an error":   {run + "```go\nfmt.Println(1)\nreturn io.EOF\n// Output: 1\n```\n", "returned EOF"},
		"failing test":       {run + "```go\nfunc TestX(t *testing.T) { t.Error(1) }\n```\n", "p.md:3"},
		"output of program":  {run + "```go\npackage main\n\nfunc main() {\n\tprintln(1)\n\t// Output: 2\n}\n```\n", "p.md:3"},
		"program that fails": {run + "```go\npackage main\n\nfunc main() {\n\tpanic(1)\n\t// Output: 2\n}\n```\n", "p.md:6"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			found, err := readPage("p.md", tt.text)
			if err != nil {
				t.Fatal(err)
			}
			err = newModule(t, root, ".").check(found)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want %s", err, tt.want)
			}
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

// module is a module for snippets, with the requirements of one of the repository.
type module struct {
	t    *testing.T
	root string
	dir  string
	env  []string // for commands, beside the environment
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
	edit := []string{"mod", "edit", "-module=snippets"}
	for path, dir := range m.replaced(filepath.Join(root, folder)) {
		edit = append(edit, "-replace="+path+"="+dir)
	}
	edit = append(edit, "-require="+library+"@v0.0.0", "-replace="+library+"="+root)
	if _, err := m.command("go", edit...); err != nil {
		t.Fatal(err)
	}
	return m
}

// replaced are the modules that a module has replaced by folders, which are found from where it
// stands and not from here.
func (m *module) replaced(from string) map[string]string {
	text, err := m.command("go", "mod", "edit", "-json")
	var mod struct {
		Replace []struct {
			Old, New struct{ Path, Version string }
		}
	}
	if err == nil {
		err = json.Unmarshal([]byte(text), &mod)
	}
	if err != nil {
		m.t.Fatal(err)
	}
	folders := map[string]string{}
	for _, r := range mod.Replace {
		if r.New.Version == "" && !filepath.IsAbs(r.New.Path) {
			folders[r.Old.Path] = filepath.Join(from, r.New.Path)
		}
	}
	return folders
}

// check compiles snippets, and runs those that are to be run. The error names the line of the
// page.
func (m *module) check(list []snippet) error {
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
			return err
		}
		m.file(f.path, f.text)
		if s.run && s.kind != program {
			tests.add(s, f)
		}
	}
	if _, err := m.command("go", "vet", "-mod=mod", "-unreachable=false", "./..."); err != nil {
		return err
	}
	if len(tests.calls) > 0 {
		m.file("run/run_test.go", tests.file())
		if _, err := m.command("go", "test", "-mod=mod", "-vet=off", "./run"); err != nil {
			return err
		}
	}
	return m.runPrograms(list)
}

// runPrograms runs the programs that are to be run, each with a server of its own.
func (m *module) runPrograms(list []snippet) error {
	for _, s := range list {
		if !s.run || s.kind != program {
			continue
		}
		srv := smtptest.NewServer(&smtptest.Config{Accounts: map[string]string{"shop": "a secret"}})
		defer srv.Close()
		m.env = []string{"SUBMISSION_URL=" + srv.URL()}
		if _, err := m.command("go", "build", "-mod=mod", "-o", "program.exe", "./"+s.folder()); err != nil {
			return err
		}
		got, err := m.command(filepath.Join(m.dir, "program.exe"))
		if err != nil {
			return err
		}
		if want := s.output(); strings.TrimSpace(got) != want {
			return fmt.Errorf("%s: the program printed\n%swant\n%s", s, got, want)
		}
	}
	return nil
}

func (m *module) file(path, text string) {
	path = filepath.Join(m.dir, path)
	err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600))
	if err != nil {
		m.t.Fatal(err)
	}
}

// command runs a command in the module. It returns what it printed, which is in the error as
// well.
func (m *module) command(name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(m.t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = m.dir
	cmd.Env = append(append(os.Environ(), "GOWORK=off"), m.env...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, out.String())
	}
	return out.String(), nil
}
