package draw

import (
	"fmt"
	"strings"
)

// Where the parts of the matrix are.
const (
	gridLeft   = 12
	gridTop    = 104
	nameWidth  = 128
	cellWidth  = (width - 2*gridLeft - nameWidth) / 6
	cellHeight = 54
	barWidth   = 18
	cellGap    = 3
)

// looks is how an outcome is shown: its class, and the letter that tells it apart
// without its colour.
type looks struct{ class, letter string }

func (c cell) looks() looks {
	switch {
	case c.outcome == sent:
		return looks{"sent", "S"}
	case c.outcome == unknown:
		return looks{"unknown", "?"}
	case c.temporary:
		return looks{"later", "T"}
	}
	return looks{"never", "P"}
}

// words are the lines in a cell.
func (c cell) words() (lines []string) {
	lines = []string{c.outcome.String()}
	switch {
	case c.outcome == notSent && c.temporary:
		lines = append(lines, "temporary")
	case c.outcome == notSent:
		lines = append(lines, "permanent")
	}
	if c.session != noSession {
		lines = append(lines, c.session.String())
	}
	return lines
}

// drawOutcomes draws the matrix.
func drawOutcomes(rows [][]cell) []byte {
	p := &picture{name: "outcomes", title: "What each fault at each stage makes of a message", desc: describe(rows)}
	p.text(gridLeft, 28, "head ink", "What each fault at each stage makes of a message")
	p.text(gridLeft, 48, "text dim", "Recorded with the fake server: the first message of a session, to one recipient. A cell says what became")
	p.text(gridLeft, 64, "text dim", "of it, whether sending it again later may help, and what the client did with the session.")
	for i, f := range faults {
		x := gridLeft + nameWidth + i*cellWidth + cellGap
		p.text(x, gridTop-20, "bold ink", f.name)
		p.text(x, gridTop-6, "text dim", f.note)
	}
	y := gridTop
	for i, row := range rows {
		if stages[i].verb == "MESSAGE" {
			p.drawCommit(y)
			y += commitHeight
		}
		p.drawName(y, &stages[i])
		for fault, c := range row {
			p.drawCell(gridLeft+nameWidth+fault*cellWidth, y, c)
		}
		y += cellHeight
	}
	p.drawLegend(y + 14)
	return p.svg()
}

// drawName writes what a row is about.
func (p *picture) drawName(y int, s *stage) {
	base := y + (cellHeight-cellGap)/2 + 4
	if s.note != "" {
		base -= 8
		p.text(gridLeft, base+16, "text dim", s.note)
	}
	p.text(gridLeft, base, "bold ink", s.name)
}

const commitHeight = 26

// drawCommit draws what lies between not sent and unknown.
func (p *picture) drawCommit(y int) {
	p.path("commit", "M%d %dH%d", gridLeft, y+commitHeight/2, gridLeft+nameWidth-6)
	p.text(gridLeft+nameWidth+cellGap, y+commitHeight/2+4, "text ink", "the last byte is written: from here on only the server’s reply decides")
	p.path("commit", "M%d %dH%d", gridLeft+nameWidth+440, y+commitHeight/2, width-gridLeft)
}

func (p *picture) drawCell(x, y int, c cell) {
	h := cellHeight - cellGap
	if c.outcome == impossible {
		p.text(x+cellWidth/2, y+h/2+4, "text dim middle", "–")
		return
	}
	l := c.looks()
	p.rect(x+cellGap, y, cellWidth-cellGap, h, l.class)
	p.rect(x+cellGap, y, barWidth, h, l.class+"bar")
	p.text(x+cellGap+barWidth/2, y+h/2+5, "bold letter middle", l.letter)
	lines := c.words()
	base := y + h/2 + 4 - 15*(len(lines)-1)/2
	for i, line := range lines {
		class := "text ink"
		if i == 0 {
			class = "bold ink"
		}
		p.text(x+cellGap+barWidth+6, base+15*i, class, line)
	}
}

// drawLegend explains the cells and ends the picture.
func (p *picture) drawLegend(y int) {
	for i, l := range []struct {
		c    cell
		text string
	}{
		{cell{outcome: notSent, temporary: true}, "not sent, and trying again later may help"},
		{cell{outcome: notSent}, "not sent, and trying again as it is will not help"},
		{cell{outcome: unknown}, "perhaps accepted: you weigh a duplicate against a loss"},
		{cell{outcome: sent}, "accepted, whatever happens afterwards"},
	} {
		top := y + i*22
		p.rect(gridLeft, top, barWidth, 17, l.c.looks().class+"bar")
		p.text(gridLeft+barWidth/2, top+13, "bold letter middle", l.c.looks().letter)
		p.text(gridLeft+barWidth+8, top+13, "text ink", l.text)
	}
	for i, l := range [][2]string{
		{"usable", "the next message went over the same session"},
		{"QUIT", "the client said QUIT and closed"},
		{"closed", "the client closed and said nothing more"},
		{"–", "cannot happen there"},
	} {
		p.text(430, y+i*22+13, "bold ink", l[0])
		p.text(488, y+i*22+13, "text ink", l[1])
	}
	y += 4*22 + 18
	p.text(gridLeft, y, "text dim", "TLS: garbage is a server that speaks in clear text, 5yz a certificate that is not trusted.")
	p.text(gridLeft, y+17, "text dim", "Message: the fault meets the second of three chunks. Dial: no server has said anything yet.")
	p.text(gridLeft, y+34, "text dim", "The session is your own (Client.Dial). The pool of a Client also gives up one that refused a whole message.")
	p.height = y + 48
}

// describe says in words what the matrix shows.
func describe(rows [][]cell) string {
	var b strings.Builder
	b.WriteString("A table. Rows are stages of a session, columns are faults of the server.")
	for i, row := range rows {
		fmt.Fprintf(&b, "\n%s:", stages[i].name)
		for fault, c := range row {
			sep := ";"
			if fault == 0 {
				sep = ""
			}
			text := strings.Join(c.words(), ", ")
			if c.outcome == impossible {
				text = "cannot happen"
			}
			fmt.Fprintf(&b, "%s %s: %s", sep, faults[fault].name, text)
		}
		b.WriteString(".")
	}
	return b.String()
}
