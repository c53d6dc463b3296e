package draw

import (
	"encoding/xml"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

// file is what the tests know about an SVG.
type file struct {
	XMLName xml.Name
	Width   int    `xml:"width,attr"`
	Height  int    `xml:"height,attr"`
	ViewBox string `xml:"viewBox,attr"`
	Role    string `xml:"role,attr"`
	Aria    string `xml:"aria-labelledby,attr"`
	Title   label  `xml:"title"`
	Desc    label  `xml:"desc"`
	Texts   []text `xml:"text"`
	Shapes  []struct {
		Class string `xml:"class,attr"`
	} `xml:",any"`
}

type label struct {
	ID   string `xml:"id,attr"`
	Text string `xml:",chardata"`
}

type text struct {
	X      int    `xml:"x,attr"`
	Y      int    `xml:"y,attr"`
	Class  string `xml:"class,attr"`
	Anchor string `xml:"text-anchor,attr"`
	Text   string `xml:",chardata"`
}

// parse reads a committed picture.
func parse(t *testing.T, name string) (f file, octets []byte) {
	t.Helper()
	octets, err := os.ReadFile(filepath.Join(folder, name))
	if err == nil {
		err = xml.Unmarshal(octets, &f)
	}
	if err != nil {
		t.Fatalf("docs/%s: %v", name, err)
	}
	return f, octets
}

// The pictures are XML, say what they show to those who do not see them, and load
// nothing.
func TestPicturesAreWhole(t *testing.T) {
	for name, words := range map[string][]string{
		"flights.svg":  {"this library", "net/smtp", "2 round trips", "5 round trips", "BDAT", "DATA"},
		"outcomes.svg": {"dial", "final reply", "lost", "silence", "unknown", "not sent, temporary, usable", "cannot happen"},
	} {
		f, octets := parse(t, name)
		if f.XMLName != (xml.Name{Space: "http://www.w3.org/2000/svg", Local: "svg"}) || f.Role != "img" {
			t.Errorf("%s: %v, role %q", name, f.XMLName, f.Role)
		}
		if f.Width != width || f.Height < 100 || f.ViewBox != fmt.Sprintf("0 0 %d %d", f.Width, f.Height) {
			t.Errorf("%s: %d by %d, shows %s", name, f.Width, f.Height, f.ViewBox)
		}
		if f.Title.ID == "" || f.Desc.ID == "" || f.Aria != f.Title.ID+" "+f.Desc.ID {
			t.Errorf("%s: labelled by %q, which are not %q and %q", name, f.Aria, f.Title.ID, f.Desc.ID)
		}
		if f.Title.Text == "" || f.Title.Text == f.Desc.Text {
			t.Errorf("%s: title %q", name, f.Title.Text)
		}
		for _, word := range words {
			if !strings.Contains(f.Desc.Text, word) {
				t.Errorf("%s: the description lacks %q", name, word)
			}
		}
		for _, foreign := range []string{"href", "url(", "@import", "<script", "<image", "data:", password} {
			if strings.Contains(string(octets), foreign) {
				t.Errorf("%s: holds %s", name, foreign)
			}
		}
	}
}

// Every class that a picture uses is in its style sheet.
func TestClassesHaveAStyle(t *testing.T) {
	for _, name := range []string{"flights.svg", "outcomes.svg"} {
		f, _ := parse(t, name)
		var used []string
		for _, x := range f.Texts {
			used = append(used, strings.Fields(x.Class)...)
		}
		for _, s := range f.Shapes {
			used = append(used, strings.Fields(s.Class)...)
		}
		for _, class := range used {
			font := fonts[class].size > 0
			if !font && !slices.ContainsFunc(colours, func(c colour) bool { return c.class == class }) {
				t.Errorf("%s: class %q has no style", name, class)
			}
		}
	}
}

// box is the room that a text takes at most.
type box struct{ left, top, right, bottom float64 }

func (x text) box() box {
	f := fonts[strings.Fields(x.Class)[0]]
	size := float64(f.size)
	long := float64(utf8.RuneCountInString(x.Text)) * size * f.wide
	left := float64(x.X)
	if x.Anchor == "middle" {
		left -= long / 2
	}
	return box{left, float64(x.Y) - 0.8*size, left + long, float64(x.Y) + 0.2*size}
}

// No text lies on another or leaves the picture.
func TestTextsHaveRoom(t *testing.T) {
	for _, name := range []string{"flights.svg", "outcomes.svg"} {
		f, _ := parse(t, name)
		if len(f.Texts) < 20 {
			t.Errorf("%s: %d texts", name, len(f.Texts))
		}
		for i, x := range f.Texts {
			a := x.box()
			if a.left < 4 || a.right > width-4 || a.top < 4 || a.bottom > float64(f.Height)-4 {
				t.Errorf("%s: %q leaves the picture: %.0f", name, x.Text, a)
			}
			for _, y := range f.Texts[:i] {
				if b := y.box(); a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom {
					t.Errorf("%s: %q lies on %q", name, x.Text, y.Text)
				}
			}
		}
	}
}

// Each text can be read on its ground, in the light and in the dark (WCAG 2.2, 1.4.3).
func TestContrast(t *testing.T) {
	const enough = 4.5
	grounds := map[string][]string{
		"ink":    {"ground", "later", "never", "unknown", "sent"},
		"dim":    {"ground"},
		"letter": {"laterbar", "neverbar", "unknownbar", "sentbar"},
	}
	find := func(class string) colour {
		for _, c := range colours {
			if c.class == class {
				return c
			}
		}
		t.Fatalf("no colour %s", class)
		return colour{}
	}
	for class, list := range grounds {
		for _, ground := range list {
			text, on := find(class), find(ground)
			for _, pair := range [][2]string{{text.light, on.light}, {text.dark, on.dark}} {
				if c := contrast(luminance(t, pair[0]), luminance(t, pair[1])); c < enough {
					t.Errorf("%s on %s: %s on %s is 1 to %.1f", class, ground, pair[0], pair[1], c)
				}
			}
		}
	}
}

func contrast(a, b float64) float64 { return (max(a, b) + 0.05) / (min(a, b) + 0.05) }

// luminance is the relative luminance of a colour (WCAG 2.2).
func luminance(t *testing.T, colour string) float64 {
	n, err := strconv.ParseUint(strings.TrimPrefix(colour, "#"), 16, 32)
	if err != nil || len(colour) != 7 {
		t.Fatalf("colour %q", colour)
	}
	var sum float64
	for i, weight := range []float64{0.2126, 0.7152, 0.0722} {
		v := float64(n>>(16-8*i)&0xff) / 255
		if v <= 0.04045 {
			v /= 12.92
		} else {
			v = math.Pow((v+0.055)/1.055, 2.4)
		}
		sum += weight * v
	}
	return sum
}
