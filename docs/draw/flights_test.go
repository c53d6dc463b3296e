package draw

import (
	"fmt"
	"math"
	"strings"
)

// Where the parts of the flights are. Each side is one client with its server.
const (
	sideWidth  = 396
	clientX    = 34  // of the client's line in a side
	serverX    = 128 // of the server's
	wordsX     = 142 // of what is said
	openingTop = 112
	openStep   = 24 // a round trip of the opening, which is not to scale
	warmStep   = 76 // a round trip of the message
	lineHeight = 15
	maxLetters = 32 // of a line that is shown
)

// side is one client.
type side struct {
	name, note string
	recording
}

// drawFlights draws sides beside each other. Time is to scale: a round trip of the
// message is as long on either side.
func drawFlights(sides [2]side) []byte {
	title := "The flights of one message to two recipients"
	p := &picture{name: "flights", title: title}
	p.text(12, 28, "head ink", title)
	p.text(12, 48, "text dim", "Recorded above TLS, against the same server. Time runs downwards; what travels together has one arrow.")
	opening, warm := 0, 0
	for _, s := range sides {
		opening, warm = max(opening, len(s.opening)), max(warm, len(s.warm))
	}
	warmTop := openingTop + opening*openStep + 34
	bottom := warmTop + warm*warmStep + 16
	p.path("rule", "M12 %dH%d", warmTop-20, width-12)
	for i, s := range sides {
		x := i * (sideWidth + 8)
		p.drawOpening(x, s)
		p.drawWarm(x, warmTop, s)
		if early := warm - len(s.warm); early > 0 {
			end := warmTop + len(s.warm)*warmStep + 14
			p.path("rule", "M%d %dV%d", x+clientX, end, bottom)
			p.text(x+clientX+14, (end+bottom)/2, "text dim", "done, "+trips(early)+" earlier")
		}
		p.text(x+clientX-22, bottom+34, "head ink", trips(len(s.warm)))
		p.desc += s.describe()
	}
	p.path("rule", "M12 %dH%d", bottom+8, width-12)
	p.text(12, bottom+56, "text dim", "for the message, once the session is open. Opening it is the same for both: beside what is shown, TCP and TLS.")
	p.height = bottom + 70
	return p.svg()
}

func trips(n int) string {
	if n == 1 {
		return "1 round trip"
	}
	return fmt.Sprint(n, " round trips")
}

// drawOpening draws how the session came about, small and in one colour.
func (p *picture) drawOpening(x int, s side) {
	p.text(x+clientX-22, openingTop-34, "big ink", s.name)
	p.text(x+wordsX, openingTop-34, "text dim", s.note)
	p.text(x+clientX, openingTop-12, "text dim middle", "client")
	p.text(x+serverX, openingTop-12, "text dim middle", "server")
	y := openingTop
	for _, f := range s.opening {
		p.roundTrip(x, y, openStep, "line", f)
		said := "greeting"
		if len(f.lines) > 0 {
			said, _, _ = strings.Cut(f.lines[0], " ")
			said += " …"
		}
		p.text(x+wordsX, y+openStep/2+4, "mono dim", said+" ← "+codes(f.replies))
		y += openStep
	}
	p.lifelines(x, openingTop-6, y+4)
}

// drawWarm draws the flights of the message.
func (p *picture) drawWarm(x, top int, s side) {
	for i, f := range s.warm {
		y := top + i*warmStep
		p.roundTrip(x, y, warmStep, "out", f)
		p.text(x+clientX-22, y+warmStep/2+5, "bold dim", fmt.Sprint(i+1))
		base := y + warmStep/2 + 4 - lineHeight*len(f.lines)/2
		for _, line := range f.lines {
			p.text(x+wordsX, base, "mono ink", shorten(line))
			base += lineHeight
		}
		p.text(x+wordsX, base, "mono dim", "← "+codes(f.replies))
	}
	p.lifelines(x, top-6, top+len(s.warm)*warmStep+8)
}

// lifelines draws the lines of the client and the server.
func (p *picture) lifelines(x, from, to int) {
	p.path("line", "M%d %dV%d", x+clientX, from, to)
	p.path("line", "M%d %dV%d", x+serverX, from, to)
}

// roundTrip draws the arrow of a flight and that of its replies. What the client says
// takes half of the time to arrive.
func (p *picture) roundTrip(x, y, step int, class string, f flight) {
	tip := map[string]string{"line": "tip", "out": "outtip"}[class]
	from, to, middle, end := x+clientX, x+serverX, y+step/2, y+step
	if len(f.lines) > 0 {
		p.arrow(class, tip, point{from, y}, point{to, middle})
	}
	p.arrow("line", "tip", point{to, middle}, point{from, end})
}

type point struct{ x, y int }

// arrow draws a line with a tip.
func (p *picture) arrow(class, tip string, from, to point) {
	const long, half = 10, 3.5 // of the tip
	dx, dy := float64(to.x-from.x), float64(to.y-from.y)
	length := math.Hypot(dx, dy)
	dx, dy = dx/length, dy/length
	x, y := float64(to.x), float64(to.y)
	baseX, baseY := x-long*dx, y-long*dy
	p.path(class, "M%d %dL%.1f %.1f", from.x, from.y, baseX, baseY)
	p.mark(tip, "%.0f,%.0f %.1f,%.1f %.1f,%.1f", x, y, baseX-half*dy, baseY+half*dx, baseX+half*dy, baseY-half*dx)
}

// codes are the codes of replies.
func codes(replies []string) string {
	var list []string
	for _, r := range replies {
		list = append(list, r[:min(3, len(r))])
	}
	return strings.Join(list, " ")
}

// shorten cuts a line that is too long, between words.
func shorten(line string) string {
	if len(line) <= maxLetters {
		return line
	}
	kept := line[:maxLetters-1]
	return kept[:max(0, strings.LastIndexByte(kept, ' '))] + " …"
}

// describe says in words what the side shows.
func (s side) describe() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %s: %s for the message.", s.name, s.note, trips(len(s.warm)))
	for i, f := range s.warm {
		said := strings.TrimSuffix(strings.Join(f.lines, ", "), ", .")
		fmt.Fprintf(&b, "\n%d. %s; answered %s.", i+1, said, codes(f.replies))
	}
	b.WriteString("\n")
	return b.String()
}
