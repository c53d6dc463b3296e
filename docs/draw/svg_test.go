package draw

import (
	"bytes"
	"fmt"
	"strings"
)

// picture is an SVG that grows downwards. It is as wide as a page of documentation shows it.
type picture struct {
	name, title, desc string
	height            int
	body              bytes.Buffer
}

const width = 800

// colour is what a class is painted with, on a light page and on a dark one. The
// picture brings its own ground, so that it can be read on any page.
type colour struct{ class, property, light, dark string }

// The colours of a cell are from the palette of Okabe and Ito, which people with any kind
// of colour vision can tell apart.
var colours = []colour{
	{"ground", "fill", "#ffffff", "#0d1117"},
	{"ink", "fill", "#1f2328", "#f0f6fc"},
	{"dim", "fill", "#59636e", "#9198a1"},
	{"rule", "stroke", "#d1d9e0", "#3d444d"},
	{"line", "stroke", "#59636e", "#9198a1"},
	{"tip", "fill", "#59636e", "#9198a1"},
	{"out", "stroke", "#0060a0", "#56b4e9"},
	{"outtip", "fill", "#0060a0", "#56b4e9"},
	{"commit", "stroke", "#1f2328", "#f0f6fc"},
	{"later", "fill", "#d6ebfa", "#0b3350"},
	{"laterbar", "fill", "#0060a0", "#56b4e9"},
	{"never", "fill", "#fdebc8", "#4a3200"},
	{"neverbar", "fill", "#8a5a00", "#e69f00"},
	{"unknown", "fill", "#f6dfec", "#4d1f3a"},
	{"unknownbar", "fill", "#9c2f6e", "#e39ac6"},
	{"sent", "fill", "#d3f0e6", "#003d2e"},
	{"sentbar", "fill", "#006b4f", "#35c79d"},
	{"letter", "fill", "#ffffff", "#0d1117"},
}

// fonts are the classes of texts, with the width of a letter that is not exceeded on
// average, as a part of the size.
var fonts = map[string]struct {
	size  int
	style string
	wide  float64
}{
	"head": {17, "font-family:sans-serif;font-weight:bold", 0.68},
	"big":  {14, "font-family:sans-serif;font-weight:bold", 0.70},
	"bold": {12, "font-family:sans-serif;font-weight:bold", 0.70},
	"text": {12, "font-family:sans-serif", 0.58},
	"mono": {12, "font-family:monospace", 0.61},
}

// style is the style sheet.
func style() string {
	var light, dark strings.Builder
	for _, name := range []string{"head", "big", "bold", "text", "mono"} {
		fmt.Fprintf(&light, ".%s{font-size:%dpx;%s}\n", name, fonts[name].size, fonts[name].style)
	}
	light.WriteString("path{fill:none;stroke-width:1.5}\n")
	for _, c := range colours {
		fmt.Fprintf(&light, ".%s{%s:%s}\n", c.class, c.property, c.light)
		fmt.Fprintf(&dark, ".%s{%s:%s}\n", c.class, c.property, c.dark)
	}
	return light.String() + "@media (prefers-color-scheme:dark){\n" + dark.String() + "}\n"
}

// svg returns the picture as a file.
func (p *picture) svg() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %[1]d %[2]d" role="img" aria-labelledby="%[3]s-title %[3]s-desc">`+"\n", width, p.height, p.name)
	fmt.Fprintf(&b, "<title id=\"%s-title\">%s</title>\n<desc id=\"%[1]s-desc\">%[3]s</desc>\n", p.name, escape(p.title), escape(p.desc))
	fmt.Fprintf(&b, "<style>\n%s</style>\n", style())
	fmt.Fprintf(&b, `<rect class="ground" width="%d" height="%d" rx="6"/>`+"\n", width, p.height)
	b.Write(p.body.Bytes())
	b.WriteString("</svg>\n")
	return b.Bytes()
}

var escapes = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;")

func escape(s string) string { return escapes.Replace(s) }

// text writes a line whose base is at y. class is a font and a colour, anchored at the
// start, or with "middle" or "end" as a third word there.
func (p *picture) text(x, y int, class, s string) {
	anchor := ""
	if words := strings.Fields(class); len(words) == 3 {
		class, anchor = words[0]+" "+words[1], fmt.Sprintf(` text-anchor="%s"`, words[2])
	}
	fmt.Fprintf(&p.body, `<text x="%d" y="%d" class="%s"%s>%s</text>`+"\n", x, y, class, anchor, escape(s))
}

func (p *picture) rect(x, y, w, h int, class string) {
	fmt.Fprintf(&p.body, `<rect x="%d" y="%d" width="%d" height="%d" class="%s"/>`+"\n", x, y, w, h, class)
}

func (p *picture) path(class, format string, a ...any) {
	fmt.Fprintf(&p.body, `<path class="%s" d="%s"/>`+"\n", class, fmt.Sprintf(format, a...))
}

// mark writes a polygon that is filled.
func (p *picture) mark(class, format string, a ...any) {
	fmt.Fprintf(&p.body, `<polygon class="%s" points="%s"/>`+"\n", class, fmt.Sprintf(format, a...))
}
