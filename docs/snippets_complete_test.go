package docs

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// kind is what a snippet is.
type kind uint8

const (
	statements kind = iota
	declarations
	program
)

// packages are those that a snippet need not import, by the names they are used by.
var packages = map[string]string{
	"submission": library, "smtptest": library + "/smtptest", "sasl": "github.com/emersion/go-sasl",
	"base64": "encoding/base64", "bytes": "bytes", "context": "context", "errors": "errors", "expvar": "expvar",
	"fmt": "fmt", "http": "net/http", "io": "io", "log": "log", "mail": "net/mail", "mime": "mime", "multipart": "mime/multipart",
	"net": "net", "os": "os", "outbox": library + "/outbox", "relay": library + "/outbox/relay", "sql": "database/sql", "pem": "encoding/pem", "rand": "crypto/rand", "quotedprintable": "mime/quotedprintable", "signal": "os/signal",
	"slices": "slices", "slog": "log/slog", "strings": "strings", "sync": "sync", "synctest": "testing/synctest", "syscall": "syscall",
	"testing": "testing", "textproto": "net/textproto", "time": "time", "tls": "crypto/tls", "url": "net/url", "x509": "crypto/x509",
}

// prelude are the variables that statements may use without declaring them: their types,
// and their values where the statements are run.
var prelude = map[string]struct{ typ, value string }{
	"ctx":     {"context.Context", "context.Background()"},
	"srv":     {"*smtptest.Server", "s.srv"},
	"options": {"*submission.Options", "s.options"},
	"client":  {"*submission.Client", "s.client"},
	"env":     {"submission.Envelope", `submission.Envelope{From: "shop@example.org", To: submission.To("customer@example.net")}`},
	"message": {"io.Reader", `strings.NewReader("Subject: Your order\n\nIt is on its way.\n")`},
	"logger":  {"*slog.Logger", "slog.New(slog.DiscardHandler)"},
	"err":     {"error", "error(nil)"},
	"queue":   {"*outbox.Outbox", ""}, // compiled only
	"id":      {"outbox.ID", ""},
	"db":      {"*sql.DB", ""},
	"failed":  {"*submission.SendError", "&submission.SendError{}"},
}

// completed is a snippet as a file of Go.
type completed struct {
	path, text string
	args       []string // what its function is called with
	tests      []string // the names of the tests among its declarations
}

// name is the name of the package for the snippets of a page.
func (s snippet) name() string {
	return regexp.MustCompile(`[^a-z0-9]+`).ReplaceAllString(strings.ToLower(strings.TrimSuffix(s.page, ".md")), "_")
}

func (s snippet) folder() string {
	if s.kind == program {
		return s.name() + "_" + strconv.Itoa(s.line)
	}
	return s.name()
}

func (s snippet) function() string { return "Snippet" + strconv.Itoa(s.line) }

// parse parses the snippet as what it is; the lines are those of the code.
func (s snippet) parse(k kind) (*ast.File, error) {
	code := s.code
	switch k {
	case declarations:
		code = "package p;" + code
	case statements:
		code = "package p;func _(){" + code + "}"
	}
	return parser.ParseFile(token.NewFileSet(), "", code, 0)
}

var packageClause = regexp.MustCompile(`(?m)^package `)

// findKind says what the snippet is. It is an error if it is nothing.
func (s snippet) findKind() (kind, error) {
	if packageClause.MatchString(s.code) {
		f, err := s.parse(program)
		if err == nil && f.Name.Name != "main" {
			err = fmt.Errorf("a program is of package main, not %s", f.Name.Name)
		}
		return program, errors.Join(err, s.checkOutput())
	}
	if f, err := s.parse(declarations); err == nil {
		if s.run && testsIn(f) == nil {
			err = errors.New("declarations that are run have a test")
		}
		return declarations, err
	}
	_, err := s.parse(statements)
	return statements, errors.Join(err, s.checkOutput())
}

func (s snippet) checkOutput() error {
	if s.run && s.output() == "" {
		return errors.New("a snippet that is run says what it prints after // Output:")
	}
	return nil
}

var outputComment = regexp.MustCompile(`(?m)^\s*// Output:(.*\n(?:\s*//.*\n)*)`)

// output is what the snippet prints, "" when it does not say so.
func (s snippet) output() string {
	m := outputComment.FindStringSubmatch(s.code)
	if m == nil {
		return ""
	}
	var lines []string
	for line := range strings.Lines(m[1]) {
		line = strings.TrimPrefix(strings.TrimSpace(line), "//")
		lines = append(lines, strings.TrimPrefix(line, " "))
	}
	return strings.TrimSpace(strings.Join(lines, "\n"))
}

// declares returns the names that the snippet declares for its page.
func (s snippet) declares() map[string]bool {
	names := map[string]bool{}
	f, err := s.parse(declarations)
	if err != nil {
		return names
	}
	for _, d := range f.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Recv == nil {
				names[d.Name.Name] = true
			}
		case *ast.GenDecl:
			for _, name := range namesIn(d) {
				names[name] = true
			}
		}
	}
	return names
}

// testsIn returns the names of the tests in a file.
func testsIn(f *ast.File) (tests []string) {
	for _, d := range f.Decls {
		if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && strings.HasPrefix(fn.Name.Name, "Test") {
			tests = append(tests, fn.Name.Name)
		}
	}
	return tests
}

// complete makes a file of a snippet. declared are the names that its page declares.
func (s snippet) complete(root string, declared map[string]bool) (completed, error) {
	f, err := s.parse(s.kind)
	if err != nil {
		return completed{}, fmt.Errorf("%s: %w", s, err)
	}
	c := completed{path: path.Join(s.folder(), fmt.Sprintf("line%d.go", s.line))}
	lines := fmt.Sprintf("//line %s:%d\n", filepath.Join(root, filepath.FromSlash(s.page)), s.line)
	if s.kind == program {
		c.text = lines + s.code
		return c, nil
	}
	free := freeNames(f, declared)
	imports := importsFor(f, free)
	if s.kind == declarations {
		if s.run {
			c.tests = testsIn(f)
		}
		c.text = "package " + s.name() + "\n\n" + importBlock(imports) + lines + s.code
		return c, nil
	}
	var params []string
	for _, name := range free {
		if v, ok := prelude[name]; ok {
			params = append(params, name+" "+v.typ)
			c.args = append(c.args, v.value)
			pkg, _, _ := strings.Cut(strings.TrimPrefix(v.typ, "*"), ".")
			if pkg != "error" {
				imports[packages[pkg]] = true
			}
		}
	}
	c.text = "package " + s.name() + "\n\n" + importBlock(imports) +
		"func " + s.function() + "(" + strings.Join(params, ", ") + ") error {\n\t{\n" + lines + s.code +
		use(f) + "\t}\n\treturn nil\n}\n"
	return c, nil
}

// freeNames returns the names that a file uses and neither it nor its page declares.
func freeNames(f *ast.File, declared map[string]bool) []string {
	names := map[string]bool{}
	for _, id := range f.Unresolved {
		if !declared[id.Name] {
			names[id.Name] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// importsFor returns the packages that a file without imports uses.
func importsFor(f *ast.File, free []string) map[string]bool {
	imports := map[string]bool{}
	if len(f.Imports) > 0 {
		return imports
	}
	for _, name := range free {
		if p, ok := packages[name]; ok {
			imports[p] = true
		}
	}
	return imports
}

func importBlock(imports map[string]bool) string {
	var b strings.Builder
	for _, p := range slices.Sorted(maps.Keys(imports)) {
		fmt.Fprintf(&b, "import %q\n", p)
	}
	return b.String()
}

// use returns a statement that uses the variables which the statements of a file declare: a
// reader goes on with them.
func use(f *ast.File) string {
	var b strings.Builder
	body := f.Decls[len(f.Decls)-1].(*ast.FuncDecl).Body
	for _, statement := range body.List {
		for _, name := range declaredBy(statement) {
			if name != "_" {
				fmt.Fprintf(&b, "_ = &%s\n", name)
			}
		}
	}
	return b.String()
}

func declaredBy(statement ast.Stmt) (names []string) {
	switch statement := statement.(type) {
	case *ast.AssignStmt:
		if statement.Tok == token.DEFINE {
			for _, x := range statement.Lhs {
				names = append(names, x.(*ast.Ident).Name)
			}
		}
	case *ast.DeclStmt:
		if d := statement.Decl.(*ast.GenDecl); d.Tok == token.VAR {
			return namesIn(d)
		}
	}
	return names
}

// namesIn returns the names of the variables, constants or types that are declared.
func namesIn(d *ast.GenDecl) (names []string) {
	for _, spec := range d.Specs {
		switch spec := spec.(type) {
		case *ast.ValueSpec:
			for _, id := range spec.Names {
				names = append(names, id.Name)
			}
		case *ast.TypeSpec:
			names = append(names, spec.Name.Name)
		}
	}
	return names
}
