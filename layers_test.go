package submission_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/fe022423/submission"

// mayImport lists the packages that the files of each folder may import, besides those of
// the standard library. Tests may import anything.
var mayImport = map[string][]string{
	".": {module + "/internal/address", module + "/internal/hint", module + "/internal/link", module + "/internal/mechanism",
		module + "/internal/printable", module + "/internal/proxy", module + "/internal/redact", module + "/internal/smtpwire", module + "/internal/transfer", "github.com/emersion/go-sasl"},
	"internal/address": {"golang.org/x/net/idna"},
	"internal/hint": {module + "/internal/address", module + "/internal/link", module + "/internal/printable", module + "/internal/proxy",
		module + "/internal/smtpwire"},
	"internal/mechanism": {module + "/internal/redact", "github.com/emersion/go-sasl", "github.com/xdg-go/scram",
		"github.com/xdg-go/stringprep", "github.com/Azure/go-ntlmssp"},
	"internal/proxy":               {module + "/internal/address", module + "/internal/redact", "golang.org/x/net/proxy"},
	"internal/printable":           {},
	"internal/redact":              {},
	"internal/smtpwire":            {},
	"internal/link":                {module + "/internal/smtpwire"},
	"internal/transfer":            {module + "/internal/link", module + "/internal/smtpwire"},
	"smtptest":                     {module + "/internal/smtpwire", module + "/smtptest/internal/mimefield", module + "/smtptest/internal/saslserver", module + "/smtptest/internal/syntax"},
	"smtptest/internal/saslserver": {module + "/smtptest/internal/syntax", "github.com/xdg-go/scram"},
	"smtptest/internal/syntax":     {},
	"smtptest/internal/mimefield":  {},
}

// sourceFiles parses every file of this module that is not a test.
func sourceFiles(t *testing.T) map[string]*ast.File {
	t.Helper()
	files := map[string]*ast.File{}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && path != "." {
			_, err := os.Stat(filepath.Join(path, "go.mod"))
			if ofItsOwn := err == nil; ofItsOwn || strings.HasPrefix(d.Name(), ".") {
				return fs.SkipDir
			}
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		files[filepath.ToSlash(path)] = f
		return err
	})
	if err != nil || len(files) < 40 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	return files
}

// Who imports whom: the examples import the library, the library its internal packages, the
// fake server only the codec. No internal package imports the library.
func TestImports(t *testing.T) {
	folders := map[string]bool{}
	for path, f := range sourceFiles(t) {
		folder := filepath.ToSlash(filepath.Dir(path))
		folders[folder] = true
		allowed, known := mayImport[folder]
		if strings.HasPrefix(folder, "examples/") {
			allowed, known = []string{module, module + "/smtptest", "github.com/emersion/go-sasl"}, true
		}
		if !known {
			t.Errorf("%s: folder %s has no rule", path, folder)
		}
		for _, spec := range f.Imports {
			name := strings.Trim(spec.Path.Value, `"`)
			if strings.Contains(name, ".") && !slices.Contains(allowed, name) {
				t.Errorf("%s imports %s", path, name)
			}
		}
	}
	for folder := range mayImport {
		if !folders[folder] {
			t.Errorf("rule for %s, which has no files", folder)
		}
	}
}

// The files that decide about a message know neither the network nor the clock. Those in
// which an envelope names a time know the types of package time, and nothing that runs.
func TestMessageKnowsNoNetwork(t *testing.T) {
	checked := 0
	namesTime := []string{"envelope.go", "delivery.go"}
	for path, f := range sourceFiles(t) {
		pure := []string{"attempt.go", "delivery.go", "dsn.go", "envelope.go", "extensions.go", "lease.go", "message.go", "message_header.go", "message_source.go", "params.go", "plan.go", "reply.go", "result.go", "source.go",
			"stage.go", "transaction.go", "verdict.go", "verdict_merge.go"}
		if filepath.Dir(path) != filepath.Join("internal", "transfer") && !slices.Contains(pure, path) {
			continue
		}
		checked++
		for _, spec := range f.Imports {
			p := strings.Trim(spec.Path.Value, `"`)
			if p == "time" && slices.Contains(namesTime, path) {
				continue
			}
			if slices.Contains([]string{"net", "time", "os", "crypto/tls"}, p) {
				t.Errorf("%s imports %s", path, p)
			}
		}
		ast.Inspect(f, func(n ast.Node) bool {
			if x, ok := n.(*ast.SelectorExpr); ok {
				pkg, ok := x.X.(*ast.Ident)
				if ok && pkg.Name == "time" && !slices.Contains([]string{"Duration", "Time", "Second", "RFC3339"}, x.Sel.Name) {
					t.Errorf("%s uses time.%s", path, x.Sel.Name)
				}
			}
			return true
		})
	}
	if checked < 15 {
		t.Errorf("only %d files were checked", checked)
	}
}

// A SendError is made in verdict.go only.
func TestOneJudge(t *testing.T) {
	made := map[string]int{}
	for path, f := range sourceFiles(t) {
		ast.Inspect(f, func(n ast.Node) bool {
			if lit, ok := n.(*ast.CompositeLit); ok {
				if name, ok := lit.Type.(*ast.Ident); ok && name.Name == "SendError" {
					made[path]++
				}
			}
			return true
		})
	}
	if len(made) != 1 || made["verdict.go"] == 0 {
		t.Errorf("SendErrors are made in %v", made)
	}
}

// Deadlines are set, and contexts watched, in internal/link only.
func TestDeadlinesStandInOnePlace(t *testing.T) {
	found := 0
	for path, f := range sourceFiles(t) {
		ast.Inspect(f, func(n ast.Node) bool {
			sel, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			x, _ := sel.X.(*ast.Ident)
			deadline := strings.HasPrefix(sel.Sel.Name, "Set") && strings.HasSuffix(sel.Sel.Name, "Deadline")
			watch := sel.Sel.Name == "AfterFunc" && x != nil && x.Name == "context"
			library := filepath.Dir(path) == "." || strings.HasPrefix(path, "internal/")
			if (deadline || watch) && library {
				if found++; filepath.Dir(path) != filepath.Join("internal", "link") {
					t.Errorf("%s uses %s", path, sel.Sel.Name)
				}
			}
			return true
		})
	}
	if found < 5 {
		t.Errorf("only %d uses were found: the check does not find them any more", found)
	}
}
