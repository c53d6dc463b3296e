package main

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/fe022423/submission/outbox"
)

// Each selection shows the messages of its statuses and no others.
func TestSelections(t *testing.T) {
	shop := openShop(t, nil)
	all := shop.sale()
	row := func(id outbox.ID) string { return `<tr role="row" id="` + string(id) + `">` }
	ids := []outbox.ID{all.queued, all.deferred, all.held, all.failed, all.partly, all.sent}
	for name, want := range map[string]string{
		"": "qdhfp-", "open": "qdhfp-", "nonsense": "qdhfp-", "all": "qdhfps", "queued": "q-----", "deferred": "-d----",
		"held": "--h---", "failed": "---f--", "partly sent": "----p-", "sent": "-----s", "canceled": "------", "dropped": "------",
	} {
		status, body := shop.get("/?show=" + url.QueryEscape(name))
		if status != http.StatusOK {
			t.Errorf("%q: %d", name, status)
		}
		for i, id := range ids {
			if shown := strings.Contains(body, row(id)); shown != (want[i] != '-') {
				t.Errorf("%q: message %d shown: %v", name, i, shown)
			}
		}
		if empty := strings.Contains(body, "No message is here."); empty != (strings.Trim(want, "-") == "") {
			t.Errorf("%q: empty: %v", name, empty)
		}
	}
	_, body := shop.get("/")
	for _, want := range []string{
		"open <span class=\"count\">5<", "all <span class=\"count\">6<", "held <span class=\"count\">1<",
		"greylisted", "lost@example.net", "may have it", "next try", "1 attempt<", "2 messages wait, the oldest for <strong>",
	} {
		if !strings.Contains(body, want) {
			t.Errorf("the page has no %q", want)
		}
	}
}

// The words of a server, an address and a key are text, wherever they stand.
func TestHostileText(t *testing.T) {
	shop := openShop(t, nil)
	all := shop.sale()
	evil := shop.put(`"<script>alert(2)</script>"`)
	for _, path := range []string{"/?show=all", "/queue/" + string(all.failed), "/queue/" + string(evil), "/?show=<script>&done=<script>", "/queue/<script>"} {
		_, body := shop.get(path)
		if strings.Contains(body, "<script") || strings.Contains(body, "<img") {
			t.Errorf("%s has markup of a stranger", path)
		}
	}
	_, body := shop.get("/queue/" + string(all.failed))
	if want := "&lt;script&gt;document.title=&#39;taken&#39;&lt;/script&gt;&lt;img src=x onerror=alert(1)&gt;&#34;&#39;&amp;amp; no"; !strings.Contains(body, want) {
		t.Errorf("the reply is not there as it was said:\n%s", body)
	}
}

// What each button does to a message of each status: in the queue, and what the page says.
func TestActions(t *testing.T) {
	const (
		q, d, h, f, p, s = outbox.Queued, outbox.Deferred, outbox.Held, outbox.Failed, outbox.PartlySent, outbox.Sent
		canceled, drop   = outbox.Canceled, outbox.Dropped
	)
	for name, want := range map[string]struct{ queued, deferred, held, failed, partly, sent outbox.Status }{
		"retry":    {q, q, q, q, q, s},
		"cancel":   {canceled, canceled, h, f, p, s},
		"was-sent": {q, d, s, s, s, s},
		"discard":  {q, d, drop, drop, drop, s},
	} {
		shop := openShop(t, nil)
		all := shop.sale()
		for _, m := range []struct {
			id        outbox.ID
			was, want outbox.Status
		}{
			{all.queued, q, want.queued}, {all.deferred, d, want.deferred}, {all.held, h, want.held},
			{all.failed, f, want.failed}, {all.partly, p, want.partly}, {all.sent, s, want.sent},
		} {
			r, err := shop.queue.Get(t.Context(), m.id)
			if err != nil || r.Status != m.was {
				t.Fatalf("%s is %s, %v", m.was, r.Status, err)
			}
			status, body := shop.post("/queue/"+string(m.id)+"/"+name, url.Values{"seen": {seen(r)}, "show": {"all"}}, nil)
			shop.wants(m.id, m.want)
			done := m.was != m.want
			if done && (status != http.StatusOK || !strings.Contains(body, notices[name])) {
				t.Errorf("%s of a %s one: %d", name, m.was, status)
			}
			if !done && (status != http.StatusConflict || !strings.Contains(body, "Nothing was changed. outbox: ") ||
				!strings.Contains(body, "the message is "+string(m.was)+": too late")) {
				t.Errorf("%s of a %s one: %d, without the reason", name, m.was, status)
			}
		}
	}
}

// Send again of what may have arrived needs the warning: a page from before it has none.
func TestRetryOfUncertain(t *testing.T) {
	shop := openShop(t, nil)
	all := shop.sale()
	_, list := shop.get("/")
	if strings.Contains(list, "/queue/"+string(all.held)+"/") {
		t.Error("the list has a button for a held message")
	}
	_, page := shop.get("/queue/" + string(all.held))
	for _, want := range []string{"Send again", mayBeTwice, "It arrived", "Do not send", "Message-ID: &lt;lost@example.org&gt;"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page of a held message has no %q", want)
		}
	}
	for _, saw := range []string{"", "failed 1", "held 0", "deferred 1"} {
		status, body := shop.post("/queue/"+string(all.held)+"/retry", url.Values{"seen": {saw}}, nil)
		if status != http.StatusConflict || !strings.Contains(body, errChanged.Error()) {
			t.Errorf("seen as %q: %d", saw, status)
		}
		shop.wants(all.held, outbox.Held)
	}
	if status, _ := shop.post("/queue/"+string(all.held)+"/retry", url.Values{"seen": {"held 1"}}, nil); status != http.StatusOK {
		t.Error(status)
	}
	shop.wants(all.held, outbox.Queued)
	if r, _ := shop.queue.Get(t.Context(), all.held); r.Uncertain != 1 {
		t.Errorf("%d uncertain", r.Uncertain)
	}
	if _, page := shop.get("/queue/" + string(all.held)); !strings.Contains(page, "Sent again though it might have arrived") {
		t.Error("the page does not say that it may arrive twice")
	}
}

// A form of another site does nothing, and neither does a name of another site that leads here.
func TestOtherSites(t *testing.T) {
	shop := openShop(t, nil)
	id := shop.put("anna")
	for name, tt := range map[string]struct {
		header http.Header
		status int
	}{
		"cross-site":              {http.Header{"Sec-Fetch-Site": {"cross-site"}, "Origin": {"https://example.com"}}, http.StatusForbidden},
		"same site":               {http.Header{"Sec-Fetch-Site": {"same-site"}}, http.StatusForbidden},
		"old browser":             {http.Header{"Sec-Fetch-Site": nil, "Origin": {"https://example.com"}}, http.StatusForbidden},
		"sandboxed":               {http.Header{"Sec-Fetch-Site": {"cross-site"}, "Origin": {"null"}}, http.StatusForbidden},
		"a name that leads here":  {http.Header{"Host": {"evil.example"}, "Origin": {"http://evil.example"}}, http.StatusMisdirectedRequest},
		"a name that looks alike": {http.Header{"Host": {"localhost.example:8080"}}, http.StatusMisdirectedRequest},
		"an address elsewhere":    {http.Header{"Host": {"192.0.2.1"}}, http.StatusMisdirectedRequest},
		"no name":                 {http.Header{"Host": {":8080"}}, http.StatusMisdirectedRequest},
	} {
		for _, path := range []string{"/queue/" + string(id) + "/cancel", "/orders"} {
			if status, _ := shop.post(path, orderOf("spy@example.com"), tt.header); status != tt.status {
				t.Errorf("%s: %s: %d, want %d", name, path, status, tt.status)
			}
		}
		shop.wants(id, outbox.Queued)
	}
	for _, host := range []string{"localhost:8080", "[::1]:8080", "127.0.0.1", "localhost"} {
		if !isLocalHost(host) {
			t.Errorf("%s is not local", host)
		}
	}
	shop.service.local = false // behind a proxy, which has a name
	if status, _ := shop.post("/queue/"+string(id)+"/cancel", nil, http.Header{"Host": {"queue.example.org"}, "Origin": {"https://queue.example.org"}}); status != http.StatusOK && status != http.StatusSeeOther {
		t.Error(status)
	}
	shop.wants(id, outbox.Canceled)
}

func TestAddresses(t *testing.T) {
	shop := openShop(t, nil)
	id := string(shop.put("anna"))
	for path, want := range map[string]int{
		"/": 200, "/style.css": 200, "/queue/" + id: 200, "/queue/none": 404, "/queue/a.b": 404, "/queue/" + id + "/retry": 405, "/nothing": 404,
	} {
		if status, _ := shop.get(path); status != want {
			t.Errorf("GET %s: %d, want %d", path, status, want)
		}
	}
	for path, want := range map[string]int{
		"/queue/none/cancel": 404, "/queue/none/retry": 404, "/queue/" + id + "/explode": 404, "/fake": 404, "/": 405,
	} {
		if status, _ := shop.post(path, nil, nil); status != want {
			t.Errorf("POST %s: %d, want %d", path, status, want)
		}
	}
	resp, err := http.Get(shop.url)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	for name, want := range map[string]string{
		"Content-Security-Policy": "default-src 'none'; style-src 'self'; ", "X-Content-Type-Options": "nosniff", "Cache-Control": "no-store",
	} {
		if got := resp.Header.Get(name); !strings.HasPrefix(got, want) {
			t.Errorf("%s: %q", name, got)
		}
	}
	shop.queue.Close()
	for _, path := range []string{"/", "/queue/" + id} {
		if status, body := shop.get(path); status != http.StatusServiceUnavailable || !strings.Contains(body, "outbox: ") {
			t.Errorf("closed: %s: %d", path, status)
		}
	}
	if status, body := shop.post("/queue/"+id+"/cancel", nil, nil); status != http.StatusServiceUnavailable || strings.Contains(body, "Nothing was changed") {
		t.Errorf("closed: cancel: %d", status)
	}
}

// A long queue is not read as a whole for one page.
func TestLongQueue(t *testing.T) {
	shop := openShop(t, func(o *outbox.Options) { o.SyncInterval = 1 << 40 })
	var list []outbox.Message
	for range maxRows + 3 {
		list = append(list, outbox.Message{Envelope: envelope, Body: strings.NewReader("Subject: x\r\n\r\nx\r\n")})
	}
	if _, err := shop.queue.EnqueueAll(t.Context(), func(yield func(outbox.Message) bool) {
		for _, m := range list {
			if !yield(m) {
				return
			}
		}
	}); err != nil {
		t.Fatal(err)
	}
	_, body := shop.get("/")
	if n := strings.Count(body, `<tr role="row" id="`); n != maxRows || !strings.Contains(body, "<p>3 more are not shown") {
		t.Errorf("%d rows", n)
	}
}
