package migration

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// page is what explains the programs.
var page = filepath.Join("..", "..", "docs", "migration.md")

func readPage(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// excerpt is links to two programs and, after them, what differs between them.
var excerpt = regexp.MustCompile("(?m)^\\[before\\]\\(\\.\\./examples/migration/(.+)\\), \\[after\\]\\(\\.\\./examples/migration/(.+)\\):\n\n```diff\n((?s:.*?))^```$")

// The page shows one excerpt for each library, and all its lines stand in the programs, one
// after another. It has no other block of code.
func TestExcerpts(t *testing.T) {
	text := readPage(t)
	excerpts := excerpt.FindAllStringSubmatch(text, -1)
	if blocks := strings.Count(text, "```") / 2; len(excerpts) != len(migrations) || blocks != len(excerpts) {
		t.Fatalf("%d excerpts, %d blocks of code", len(excerpts), blocks)
	}
	for i, m := range migrations {
		before, after := filepath.ToSlash(source("before", m.name)), filepath.ToSlash(source("after", m.name))
		if excerpts[i][1] != before || excerpts[i][2] != after {
			t.Errorf("excerpt %d is of %s and %s, not of %s and %s", i+1, excerpts[i][1], excerpts[i][2], before, after)
		}
		checkExcerpt(t, before, excerpts[i][3], "-")
		checkExcerpt(t, after, excerpts[i][3], "+")
	}
}

// checkExcerpt checks that the lines of one side of an excerpt stand in a program.
func checkExcerpt(t *testing.T, file, block, side string) {
	t.Helper()
	program, err := os.ReadFile(filepath.FromSlash(file))
	if err != nil {
		t.Error(err)
		return
	}
	var part strings.Builder
	own := 0
	for line := range strings.Lines(block) {
		switch line[:1] {
		case side:
			own++
			part.WriteString(line[1:])
		case " ":
			part.WriteString(line[1:])
		case "-", "+":
		default:
			t.Errorf("a line of an excerpt of %s begins with none of -, + and a space: %q", file, line)
		}
	}
	if own == 0 || !strings.Contains("\n"+string(program), "\n"+part.String()) {
		t.Errorf("%s does not have the lines\n%s", file, part.String())
	}
}

// The table of the page has the lines of each program, and in what their mails may differ.
func TestTable(t *testing.T) {
	text := readPage(t)
	for _, m := range migrations {
		var differ []string
		for _, d := range m.allowed {
			differ = append(differ, d.name)
		}
		row := fmt.Sprintf(" | %s | %s | %s | ", cell(t, source("before", m.name)), cell(t, source("after", m.name)), strings.Join(differ, ", "))
		if !strings.Contains(text, row) {
			t.Errorf("no row has %s", row)
		}
	}
}

// cell is the cell of a program: how many lines it has, and where it is.
func cell(t *testing.T, file string) string {
	return fmt.Sprintf("[%d](../examples/migration/%s)", count(t, file), filepath.ToSlash(file))
}
