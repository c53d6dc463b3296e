package main

import (
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/fe022423/submission"
	"github.com/fe022423/submission/smtptest"
)

// The page has what became of the orders.
func TestMetricsPage(t *testing.T) {
	shop := openShop(t)
	shop.order(t, anna)
	shop.order(t, anna)
	shop.mail.SetHook(smtptest.On("RCPT", "", "550 5.1.1 who"))
	shop.order(t, anna)
	resp, err := http.Get(shop.url + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if kind := resp.Header.Get("Content-Type"); kind != "text/plain; version=0.0.4; charset=utf-8" {
		t.Errorf("Content-Type %s", kind)
	}
	_, page := shop.get(t, "/metrics")
	for _, want := range []string{
		`submission_messages_total{outcome="sent"} 2`, `submission_messages_total{outcome="not_sent"} 1`,
		`submission_messages_total{outcome="unknown"} 0`, `submission_sessions{state="idle"} 1`, "submission_dials_total 1", "submission_reused_total 2",
	} {
		if !strings.Contains("\n"+page, "\n"+want+"\n") {
			t.Errorf("no line %q in\n%s", want, page)
		}
	}
}

// Every figure is where it belongs, in the format of Prometheus: HELP, TYPE, samples.
func TestMetricsFormat(t *testing.T) {
	page := metrics(submission.Stats{
		MaxSessions: 1, Bound: 2, Open: 99, Idle: 3, InUse: 4, Waiting: 5, Dials: 6, Reused: 7, Retired: 8, Restarts: 9,
		Sent: 10, PartlySent: 11, NotSent: 12, Unknown: 1 << 63, WaitCount: 14, WaitDuration: 1500 * time.Millisecond,
	})
	want := map[string]string{
		`submission_messages_total{outcome="sent"}`: "10", `submission_messages_total{outcome="partly_sent"}`: "11",
		`submission_messages_total{outcome="not_sent"}`: "12", `submission_messages_total{outcome="unknown"}`: "9223372036854775808",
		`submission_sessions{state="idle"}`: "3", `submission_sessions{state="in_use"}`: "4",
		"submission_sessions_max": "1", "submission_sessions_bound": "2", "submission_waiting": "5", "submission_dials_total": "6",
		"submission_retired_total": "8", "submission_reused_total": "7", "submission_restarts_total": "9",
		"submission_waits_total": "14", "submission_wait_seconds_total": "1.5",
	}
	help := regexp.MustCompile(`^# HELP ([a-z_]+) [^\n]+\n$`)
	kind := regexp.MustCompile(`^# TYPE ([a-z_]+) (counter|gauge)\n$`)
	value := regexp.MustCompile(`^(([a-z_]+)(?:\{[a-z]+="[a-z_]+"\})?) (\S+)\n$`)
	var name, described string
	for line := range strings.Lines(page) {
		if m := help.FindStringSubmatch(line); m != nil {
			described = m[1]
			continue
		}
		if m := kind.FindStringSubmatch(line); m != nil {
			if name = m[1]; name != described {
				t.Errorf("%s is described as %s", name, described)
			}
			if (m[2] == "counter") != strings.HasSuffix(name, "_total") {
				t.Errorf("%s is a %s", name, m[2])
			}
			continue
		}
		m := value.FindStringSubmatch(line)
		if m == nil || m[2] != name {
			t.Errorf("line %q", line)
			continue
		}
		if _, err := strconv.ParseFloat(m[3], 64); err != nil || want[m[1]] != m[3] {
			t.Errorf("%s is %s, want %q", m[1], m[3], want[m[1]])
		}
		delete(want, m[1])
	}
	if len(want) > 0 {
		t.Errorf("missing: %v", want)
	}
}
