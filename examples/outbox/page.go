package main

import (
	"bytes"
	"context"
	"embed"
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"time"

	"github.com/fe022423/submission/outbox"
)

//go:embed page
var files embed.FS

// Everything in them is escaped: replies are the words of a stranger's server.
var templates = template.Must(template.New("").Funcs(template.FuncMap{
	"utc":  func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05") },
	"iso":  func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
	"word": word,
}).ParseFS(files, "page/*.html"))

// maxRows is how many messages one page has: each is a request to the queue.
const maxRows = 200

// show is a selection of the list.
type show struct {
	Name     string
	statuses []outbox.Status // none is all
}

var open = []outbox.Status{outbox.Queued, outbox.Deferred, outbox.Committing, outbox.Held, outbox.Failed, outbox.PartlySent}

// shows are all selections; the first one is the usual one.
var shows = func() []show {
	list := []show{{"open", open}, {"all", nil}}
	for _, s := range append(slices.Clone(open), outbox.Sent, outbox.Canceled, outbox.Dropped) {
		list = append(list, show{string(s), []outbox.Status{s}})
	}
	return list
}()

// showOf is the selection that a request asks for.
func showOf(r *http.Request) show {
	for _, s := range shows {
		if s.Name == r.FormValue("show") {
			return s
		}
	}
	return shows[0]
}

// count is how many messages a selection has.
func (s show) count(counts map[outbox.Status]int) (n int) {
	for status, c := range counts {
		if len(s.statuses) == 0 || slices.Contains(s.statuses, status) {
			n += c
		}
	}
	return n
}

// notices are what the page says after something was done. The address names one of them, so
// that a link cannot put its own words there.
var notices = map[string]string{
	"ordered":  "The order is taken: its mail is in the queue.",
	"repeated": "This order was taken before: its mail is in the queue, once.",
	"retry":    "It is due now, and sent as soon as a worker is free.",
	"cancel":   "It was canceled: nobody gets it.",
	"was-sent": "It is noted as sent.",
	"discard":  "It was dropped.",
	"fake":     "The fake server does so from the next message on.",
}

// word is what a status is called on the page; of a recipient where that differs.
func word(s outbox.Status, ofRecipient bool) string {
	switch {
	case ofRecipient && s == outbox.Held:
		return "may have it"
	case ofRecipient && s == outbox.Queued:
		return "not yet"
	case s == outbox.Committing:
		return "being sent"
	}
	return string(s)
}

// row is a message in the list.
type row struct {
	outbox.Record
	Buttons []action
	Decide  bool // there is more on its own page
	Seen    string
}

func newRow(r outbox.Record) row {
	row := row{Record: r, Seen: seen(r)}
	for _, a := range actionsFor(r) {
		if a.Warning == "" {
			row.Buttons = append(row.Buttons, a)
		} else {
			row.Decide = true
		}
	}
	return row
}

// link is a selection as a link.
type link struct {
	Name, Label string
	Count       int
	Current     bool
}

// queuePage is what the list shows.
type queuePage struct {
	Notice, Problem string
	Show            string
	Links           []link
	Waiting         int           // messages that are queued or deferred
	Oldest          time.Duration // for how long the oldest of them waits
	Rows            []row
	More            int // messages that are not shown
	Order           order
	Fake            string // what the fake server does, "" with a real one
	Behaviours      []behaviour
}

func (s *service) showQueue(w http.ResponseWriter, r *http.Request) {
	s.writeQueue(w, r, http.StatusOK, "")
}

// writeQueue answers with the list, and with a problem above it.
func (s *service) writeQueue(w http.ResponseWriter, r *http.Request, status int, problem string) {
	p := &queuePage{Problem: problem, Order: newOrder(), Behaviours: fakeBehaviours}
	if problem == "" {
		p.Notice = notices[r.FormValue("done")]
	}
	if s.fake != nil {
		p.Fake = s.fake.now.Load().Name
	}
	if err := s.list(r.Context(), p, showOf(r)); err != nil {
		s.log.ErrorContext(r.Context(), "the queue cannot be listed", "error", err)
		p.Problem, status = "The queue cannot be listed now. "+err.Error(), http.StatusServiceUnavailable
	}
	s.write(w, status, "queue.html", p)
}

// list reads the figures and the first messages of a selection.
func (s *service) list(ctx context.Context, p *queuePage, shown show) error {
	stats, err := s.queue.Stats(ctx)
	if err != nil {
		return err
	}
	p.Show, p.Oldest = shown.Name, stats.OldestQueued.Truncate(time.Second)
	p.Waiting = stats.Counts[outbox.Queued] + stats.Counts[outbox.Deferred]
	for _, s := range shows {
		n, current := s.count(stats.Counts), s.Name == shown.Name
		if n > 0 || current || len(s.statuses) != 1 {
			p.Links = append(p.Links, link{s.Name, word(outbox.Status(s.Name), false), n, current})
		}
	}
	for r, err := range s.queue.List(ctx, outbox.Filter{Status: shown.statuses}) {
		if err != nil {
			return err
		}
		if len(p.Rows) == maxRows {
			p.More = max(shown.count(stats.Counts)-maxRows, 1)
			break
		}
		p.Rows = append(p.Rows, newRow(r))
	}
	return nil
}

// write answers with a page, or with nothing but an error: never with half a page.
func (s *service) write(w http.ResponseWriter, status int, name string, data any) {
	var b bytes.Buffer
	if err := templates.ExecuteTemplate(&b, name, data); err != nil {
		s.log.Error("no page", "error", err)
		http.Error(w, "the page could not be made", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	fmt.Fprint(w, b.String())
}

func showStyle(w http.ResponseWriter, r *http.Request) {
	http.ServeFileFS(w, r, files, "page/style.css")
}
