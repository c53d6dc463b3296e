package submission_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/fe022423/submission"

// mayImport has for each folder the packages that its files may import, except
// those of the standard library. Tests may import anything.
var mayImport = map[string][]string{
	".": {module + "/internal/address", module + "/internal/mechanism", module + "/internal/proxy",
		module + "/internal/redact", module + "/internal/smtpwire", "github.com/emersion/go-sasl"},
	"internal/address": {"golang.org/x/net/idna"},
	"internal/mechanism": {module + "/internal/redact", "github.com/emersion/go-sasl", "github.com/xdg-go/scram",
		"github.com/xdg-go/stringprep", "github.com/Azure/go-ntlmssp"},
	"internal/proxy":               {module + "/internal/address", module + "/internal/redact", "golang.org/x/net/proxy"},
	"internal/redact":              {},
	"internal/smtpwire":            {},
	"smtptest":                     {module + "/internal/smtpwire", module + "/smtptest/internal/saslserver", module + "/smtptest/internal/syntax"},
	"smtptest/internal/saslserver": {module + "/smtptest/internal/syntax", "github.com/xdg-go/scram"},
	"smtptest/internal/syntax":     {},
}

// sourceFiles parses every file that is not a test.
func sourceFiles(t *testing.T) map[string]*ast.File {
	t.Helper()
	files := map[string]*ast.File{}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (path == "interop" || strings.HasPrefix(d.Name(), ".") && path != ".") {
			return fs.SkipDir
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

// TestImports checks who imports whom: examples import the library, the library its
// internal packages, the fake server only the codec. No internal package imports the
// library.
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

// What makes up a message knows neither the network nor the clock.
func TestTransactionKnowsNoNetwork(t *testing.T) {
	files := sourceFiles(t)
	for _, name := range []string{"transaction.go", "feed.go", "batch.go", "cursor.go", "deliver.go", "earlydata.go", "refusal.go", "memory.go", "plan.go",
		"envelope.go", "dsn.go", "extensions.go", "reply.go", "result.go", "stage.go"} {
		f := files[name]
		if f == nil {
			t.Errorf("no file %s", name)
			continue
		}
		for _, spec := range f.Imports {
			if p := spec.Path.Value; p == `"net"` || p == `"time"` || p == `"crypto/tls"` {
				t.Errorf("%s imports %s", name, p)
			}
		}
	}
}

// upward lists, from the top of the library down, the files of a layer and the
// names that only it and the layers above it may use.
var upward = []struct {
	files []string
	names []string
}{
	{[]string{"client.go", "pool.go"}, []string{"Client", "pool", "turn"}},
	{[]string{"session.go", "handshake.go", "tls.go"}, []string{"NewSession", "newSession", "greet", "hello", "startTLS", "secure"}},
	{[]string{"transaction.go", "feed.go", "batch.go", "cursor.go", "deliver.go", "earlydata.go", "refusal.go", "memory.go", "auth.go", "password.go"},
		[]string{"Transaction", "newTransaction", "cursor", "Session", "Auth", "Password", "memory", "tally"}},
	{[]string{"conn.go", "trace.go", "peek_unix.go", "peek_other.go"}, []string{"conn", "newConn", "peeker"}},
}

// TestFileLayers: a file uses nothing that belongs to a layer above its own. The
// Session and Transaction types are what their layers' files have methods on.
func TestFileLayers(t *testing.T) {
	files := sourceFiles(t)
	for i, layer := range upward {
		for _, lower := range upward[i+1:] {
			for _, name := range lower.files {
				f := files[name]
				if f == nil {
					t.Fatalf("no file %s", name)
				}
				ast.Walk(&upwardUses{t, name, layer.names}, f)
			}
		}
	}
}

// upwardUses reports identifiers that stand for names; those of fields, methods
// and other packages may be the same.
type upwardUses struct {
	t     *testing.T
	file  string
	names []string
}

func (u *upwardUses) Visit(n ast.Node) ast.Visitor {
	switch n := n.(type) {
	case *ast.SelectorExpr:
		if _, plain := n.X.(*ast.Ident); !plain {
			ast.Walk(u, n.X)
		}
		return nil
	case *ast.KeyValueExpr:
		ast.Walk(u, n.Value)
		return nil
	case *ast.Field:
		ast.Walk(u, n.Type)
		return nil
	case *ast.FuncDecl:
		if n.Recv != nil {
			ast.Walk(u, n.Recv)
		}
		ast.Walk(u, n.Type)
		if n.Body != nil {
			ast.Walk(u, n.Body)
		}
		return nil
	case *ast.Ident:
		if slices.Contains(u.names, n.Name) {
			u.t.Errorf("%s uses %s of a layer above", u.file, n.Name)
		}
	}
	return u
}

// Deadlines and watches on contexts stand in conn.go and nowhere else, neither in
// the root nor in the internal packages.
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
				if found++; path != "conn.go" {
					t.Errorf("%s uses %s", path, sel.Sel.Name)
				}
			}
			return true
		})
	}
	if found < 5 {
		t.Errorf("found %d uses in all: the check looks past them", found)
	}
}
