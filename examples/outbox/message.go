package main

import (
	"bufio"
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/fe022423/submission/outbox"
)

// maxHeader is how much of a message its page shows at most: enough for a header section.
const maxHeader = 8 << 10

// messagePage is what one message shows.
type messagePage struct {
	row
	Actions []action
	Header  string // of the message as it is sent: its Message-ID is what to look for in a log
}

func (s *service) showMessage(w http.ResponseWriter, r *http.Request) {
	id := outbox.ID(r.PathValue("id"))
	record, err := s.queue.Get(r.Context(), id)
	switch {
	case errors.Is(err, outbox.ErrNotFound):
		s.writeQueue(w, r, http.StatusNotFound, err.Error())
		return
	case err != nil:
		s.writeQueue(w, r, http.StatusServiceUnavailable, err.Error())
		return
	}
	p := &messagePage{row: newRow(record), Actions: actionsFor(record)}
	// It is gone once it is over, and one that cannot be read has none.
	if _, body, err := s.queue.Message(r.Context(), id); err == nil {
		p.Header = headerOf(body)
		body.Close()
	}
	s.write(w, http.StatusOK, "message.html", p)
}

// headerOf is the header section of a message, without the empty line.
func headerOf(body io.Reader) string {
	var b strings.Builder
	lines := bufio.NewScanner(io.LimitReader(body, maxHeader))
	for lines.Scan() && lines.Text() != "" {
		b.WriteString(lines.Text() + "\n")
	}
	return b.String()
}
