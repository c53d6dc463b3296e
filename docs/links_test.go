package docs

import (
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	linkTarget = regexp.MustCompile(`\]\(([^)#\s]*)(?:#([^)]*))?\)`)
	heading    = regexp.MustCompile(`(?m)^#+ +(.*)$`)
	unslugged  = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

// Each link from a page to another file of the repository leads to that file, and to a heading
// that it has.
func TestLinks(t *testing.T) {
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	checked := 0
	for _, page := range pages(t, root) {
		text, err := os.ReadFile(filepath.Join(root, page))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range linkTarget.FindAllStringSubmatch(string(text), -1) {
			if strings.Contains(m[1], ":") {
				continue // an address elsewhere
			}
			checked++
			target := page
			if m[1] != "" {
				target = path.Join(path.Dir(filepath.ToSlash(page)), m[1])
			}
			led, err := os.ReadFile(filepath.Join(root, target))
			if err != nil || !hasAnchor(string(led), m[2]) {
				t.Errorf("%s: the link to %s#%s leads nowhere: %v", page, m[1], m[2], err)
			}
		}
	}
	if checked < 5 {
		t.Errorf("only %d links were found", checked)
	}
}

// hasAnchor reports whether a page has the heading of an anchor; "" is the page itself.
func hasAnchor(text, anchor string) bool {
	if anchor == "" {
		return true
	}
	for _, m := range heading.FindAllStringSubmatch(text, -1) {
		slug := unslugged.ReplaceAllString(strings.ToLower(m[1]), "")
		if strings.ReplaceAll(strings.TrimSpace(slug), " ", "-") == anchor {
			return true
		}
	}
	return false
}

func TestAnchors(t *testing.T) {
	const text = "# Time-outs, pools\n\ntext\n\n## When `Send` fails\n"
	for anchor, want := range map[string]bool{"": true, "time-outs-pools": true, "when-send-fails": true, "text": false, "time-outs": false} {
		if got := hasAnchor(text, anchor); got != want {
			t.Errorf("%q: %v", anchor, got)
		}
	}
}
