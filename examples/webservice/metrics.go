package main

import (
	"fmt"
	"strings"

	"github.com/fe022423/submission"
)

// metric is a figure, or several that differ in a label.
type metric struct {
	name, kind, help string
	samples          []sample
}

type sample struct {
	label string // as state="idle", "" for none
	value any
}

// metrics returns the figures of a client in the text format of Prometheus, version 0.0.4.
func metrics(s submission.Stats) string {
	one := func(value any) []sample { return []sample{{"", value}} }
	var b strings.Builder
	for _, m := range []metric{
		{"submission_messages_total", "counter", "Messages by what became of them.", []sample{
			{`outcome="sent"`, s.Sent}, {`outcome="partly_sent"`, s.PartlySent}, {`outcome="not_sent"`, s.NotSent}, {`outcome="unknown"`, s.Unknown}}},
		{"submission_sessions", "gauge", "Sessions with the mail server that are open.", []sample{{`state="idle"`, s.Idle}, {`state="in_use"`, s.InUse}}},
		{"submission_sessions_max", "gauge", "Sessions that may be open.", one(s.MaxSessions)},
		{"submission_sessions_bound", "gauge", "Sessions that the server was seen to allow, 0 when it never refused one.", one(s.Bound)},
		{"submission_waiting", "gauge", "Sends that wait for a session.", one(s.Waiting)},
		{"submission_dials_total", "counter", "Sessions that were opened, or tried to be.", one(s.Dials)},
		{"submission_retired_total", "counter", "Sessions that were closed.", one(s.Retired)},
		{"submission_reused_total", "counter", "Messages that met a session used before.", one(s.Reused)},
		{"submission_restarts_total", "counter", "Messages that started once more on a fresh session.", one(s.Restarts)},
		{"submission_waits_total", "counter", "Sends that had to wait for a session.", one(s.WaitCount)},
		{"submission_wait_seconds_total", "counter", "Their waiting time in all.", one(s.WaitDuration.Seconds())},
	} {
		fmt.Fprintf(&b, "# HELP %s %s\n# TYPE %s %s\n", m.name, m.help, m.name, m.kind)
		for _, v := range m.samples {
			label := v.label
			if label != "" {
				label = "{" + label + "}"
			}
			fmt.Fprintf(&b, "%s%s %v\n", m.name, label, v.value)
		}
	}
	return b.String()
}
