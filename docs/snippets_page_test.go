package docs

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
)

// snippet is a fence of Go in a page.
type snippet struct {
	page   string // its path from the root, with slashes
	line   int    // of the first line of the code
	code   string
	run    bool
	module string // the folder of the module that it is compiled for
	kind   kind
}

func (s snippet) String() string { return fmt.Sprintf("%s:%d", s.page, s.line) }

var (
	fenceLine = regexp.MustCompile("^( *)(`{3,}|~{3,}) *([^ `]*)")
	markLine  = regexp.MustCompile(`^ *<!-- *(.*?) *-->\s*$`)
)

// readPage returns the snippets of a page.
func readPage(page, text string) ([]snippet, error) {
	r := pageReader{page: page}
	for line := range strings.Lines(text) {
		if err := r.read(strings.TrimRight(line, "\r\n")); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", page, r.line, err)
		}
	}
	if r.fence != "" {
		return nil, fmt.Errorf("%s:%d: the fence has no end", page, r.begin)
	}
	return r.found, r.unused()
}

// pageReader reads a page line by line.
type pageReader struct {
	page   string
	line   int
	found  []snippet
	marks  []string // that wait for their fence
	fence  string   // of the open fence, "" outside
	indent string
	begin  int // the line of the open fence
	goes   bool
	code   strings.Builder
}

func (r *pageReader) read(line string) error {
	r.line++
	if r.fence != "" {
		return r.readInside(line)
	}
	if m := markLine.FindStringSubmatch(line); m != nil {
		r.marks = append(r.marks, m[1])
		return nil
	}
	m := fenceLine.FindStringSubmatch(line)
	if m == nil {
		if strings.TrimSpace(line) == "" {
			return nil
		}
		return r.unused()
	}
	r.indent, r.fence, r.begin = m[1], m[2], r.line
	switch strings.ToLower(m[3]) {
	case "go":
		r.goes = true
	case "golang":
		return fmt.Errorf("a fence of Go begins with go, not with %s", m[3])
	default:
		r.goes = false
		return r.unused()
	}
	return nil
}

func (r *pageReader) readInside(line string) error {
	end := strings.TrimSpace(line)
	if !strings.HasPrefix(end, r.fence) || strings.Trim(end, r.fence[:1]) != "" {
		r.code.WriteString(strings.TrimPrefix(line, r.indent) + "\n")
		return nil
	}
	r.fence = ""
	code := r.code.String()
	r.code.Reset()
	if !r.goes {
		return nil
	}
	s := snippet{page: r.page, line: r.begin + 1, code: code, module: "."}
	for _, mark := range r.marks {
		module, ok := strings.CutPrefix(mark, "module: ")
		switch {
		case mark == "run":
			s.run = true
		case ok:
			s.module = module
		default:
			return fmt.Errorf("unknown mark %q before the fence", mark)
		}
	}
	r.marks = nil
	var err error
	if s.kind, err = s.findKind(); err != nil {
		return err
	}
	r.found = append(r.found, s)
	return nil
}

// unused reports a mark that no snippet follows. Other comments are none of its business.
func (r *pageReader) unused() error {
	for _, mark := range r.marks {
		if mark == "run" || strings.HasPrefix(mark, "module:") {
			return fmt.Errorf("no snippet follows the mark %q", mark)
		}
	}
	r.marks = nil
	return nil
}

// A page that cannot be read is an error, not a page without snippets.
func TestPageErrors(t *testing.T) {
	tests := map[string]struct{ text, want string }{
		"no end":            {"```go\nx := 1\n", "p.md:1: the fence has no end"},
		"golang":            {"```golang\nx := 1\n```\n", "p.md:1: a fence of Go begins with go, not with golang"},
		"misspelt mark":     {"<!-- runs -->\n```go\nx := 1\n```\n", `p.md:4: unknown mark "runs" before the fence`},
		"mark before text":  {"<!-- run -->\n\ntext\n", `p.md:3: no snippet follows the mark "run"`},
		"mark before text2": {"<!-- module: x -->\n```text\nx\n```\n", `p.md:2: no snippet follows the mark "module: x"`},
		"mark at the end":   {"<!-- run -->\n", `no snippet follows the mark "run"`},
		"not Go":            {"```go\nx :=\n```\n", "p.md:3: "},
		"no output":         {"<!-- run -->\n```go\nx := 1\n```\n", "p.md:4: a snippet that is run says what it prints after // Output:"},
		"no test":           {"<!-- run -->\n```go\nfunc f() {}\n```\n", "p.md:4: declarations that are run have a test"},
		"another package":   {"```go\npackage x\n```\n", "p.md:3: a program is of package main, not x"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if _, err := readPage("p.md", tt.text); err == nil || !strings.HasPrefix(err.Error(), tt.want) {
				t.Errorf("%v, want %s", err, tt.want)
			}
		})
	}
}

// A snippet is found wherever Markdown has one.
func TestPageFences(t *testing.T) {
	tests := map[string]string{
		"plain":             "text\n```go\nx := 1\n```\n",
		"CRLF":              "text\r\n```go\r\nx := 1\r\n```\r\n",
		"in a list":         "- text\n  ```go\n  x := 1\n  ```\n",
		"tildes":            "text\n~~~go\nx := 1\n~~~\n",
		"longer":            "text\n````go\nx := 1\n````\n",
		"upper case":        "text\n```Go\nx := 1\n```\n",
		"a word more":       "text\n``` go title\nx := 1\n```\n",
		"after another":     "```text\n```go\n```\n```go\nx := 1\n```\n",
		"a comment before":  "<!-- made by hand -->\ntext\n```go\nx := 1\n```\n",
		"a fence inside":    "````text\n```go\nno\n```\n````\n```go\nx := 1\n```\n",
		"a mark of another": "<!-- run -->\n```go\nx := 1\n// Output: 1\n```\n",
	}
	for name, text := range tests {
		t.Run(name, func(t *testing.T) {
			found, err := readPage("p.md", text)
			if err != nil || len(found) != 1 || !strings.HasPrefix(found[0].code, "x := 1\n") {
				t.Fatalf("%+v, %v", found, err)
			}
			lines := strings.Split(text, "\n")
			if got := strings.TrimSpace(lines[found[0].line-1]); got != "x := 1" {
				t.Errorf("line %d is %q", found[0].line, got)
			}
		})
	}
}
