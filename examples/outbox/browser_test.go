package main

import (
	"context"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/fe022423/submission/outbox"
)

// browser is a tab of a headless Chromium, which must be there: .ci/install brings it.
type browser struct {
	t   *testing.T
	ctx context.Context
	url string
	end func()
}

func openBrowser(t *testing.T, url string) *browser {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	t.Cleanup(cancel)
	options := slices.Clone(chromedp.DefaultExecAllocatorOptions[:])
	options = append(options, chromedp.ExecPath("chromium"), chromedp.UserDataDir(t.TempDir()))
	if os.Getuid() == 0 { // root has no sandbox; the page is our own
		options = append(options, chromedp.NoSandbox)
	}
	ctx, stop := chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(stop)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	b := &browser{t, ctx, url, stop}
	b.do(chromedp.EmulateViewport(1280, 900))
	return b
}

func (b *browser) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, steps...); err != nil {
		b.t.Fatal(err)
	}
}

// goes does what leads to another page, and waits for it. It returns its status.
func (b *browser) goes(steps ...chromedp.Action[chromedp.Void]) int64 {
	b.t.Helper()
	resp, err := chromedp.RunResponse(b.ctx, steps...)
	if err != nil {
		b.t.Fatal(err)
	}
	return resp.Status
}

func (b *browser) open(path string) int64 {
	b.t.Helper()
	return b.goes(chromedp.Navigate(b.url + path))
}

func (b *browser) click(selector string) int64 {
	b.t.Helper()
	return b.goes(chromedp.Click(chromedp.CSS(selector), chromedp.NodeVisible))
}

// text is what one sees of the first element of a selector, "" without one.
func (b *browser) text(selector string) string {
	b.t.Helper()
	return evaluate[string](b, `(document.querySelector(`+quote(selector)+`) || {}).innerText || ""`)
}

// evaluate is the value of an expression in the page.
func evaluate[T any](b *browser, expression string) T {
	b.t.Helper()
	v, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		b.t.Fatal(err)
	}
	return v
}

func quote(s string) string { return "`" + s + "`" }

// wants checks that an element has a text.
func (b *browser) wants(selector, text string) {
	b.t.Helper()
	if got := b.text(selector); !strings.Contains(got, text) {
		b.t.Errorf("%s shows %q, want %q", selector, got, text)
	}
}

// rows are the messages in the list.
func (b *browser) rows() []outbox.ID {
	b.t.Helper()
	return evaluate[[]outbox.ID](b, `[...document.querySelectorAll("tbody tr")].map(r => r.id)`)
}

func rowOf(id outbox.ID) string { return `tr[id="` + string(id) + `"]` }
func button(id outbox.ID, action string) string {
	return `form[action="/queue/` + string(id) + `/` + action + `"] button`
}

// By the links one sees the messages of one status, with what is to be known of them.
func TestBrowserListsAndSelects(t *testing.T) {
	shop := openShop(t, nil)
	all := shop.sale()
	b := openBrowser(t, shop.url)
	b.open("/")
	if got := b.rows(); len(got) != 5 || slices.Contains(got, all.sent) {
		t.Errorf("rows %v", got)
	}
	for id, want := range map[outbox.ID][]string{
		all.queued: {"new", "queued", "new@example.net", "Cancel"}, all.deferred: {"deferred", "greylisted", "next try", "Send now", "Cancel"},
		all.held: {"held", "lost@example.net", "may have it", "Decide…"}, all.partly: {"partly sent", "bert@example.net", "gone@example.net", "Decide…"},
		all.failed: {"failed", strings.TrimPrefix(hostile, "550 "), "Send now"},
	} {
		for _, text := range want {
			b.wants(rowOf(id), text)
		}
	}
	for link, want := range map[string][]outbox.ID{"held": {all.held}, "sent": {all.sent}, "partly%20sent": {all.partly}} {
		b.click(`.filters a[href="/?show=` + link + `"]`)
		if got := b.rows(); !slices.Equal(got, want) {
			t.Errorf("%s: rows %v, want %v", link, got, want)
		}
		b.wants(`.filters [aria-current]`, strings.ReplaceAll(link, "%20", " "))
	}
	b.open("/?show=all")
	if evaluate[int](b, "document.scripts.length + document.images.length") > 0 {
		t.Error("the reply of the server became a part of the page")
	}
}

// What is clicked is done in the queue, and the page says so.
func TestBrowserActs(t *testing.T) {
	shop := openShop(t, nil)
	all := shop.sale()
	b := openBrowser(t, shop.url)
	b.open("/?show=all")

	b.click(button(all.queued, "cancel"))
	shop.wants(all.queued, outbox.Canceled)
	b.wants("[role=status]", notices["cancel"])
	b.wants(rowOf(all.queued)+" .status", "canceled") // the selection is as before

	b.click(button(all.deferred, "retry"))
	shop.wants(all.deferred, outbox.Queued)
	b.wants(rowOf(all.deferred)+" .status", "queued")

	b.click(rowOf(all.failed) + " .decide")
	b.wants("h1", "gone")
	b.click(button(all.failed, "discard"))
	shop.wants(all.failed, outbox.Dropped)
	b.wants("[role=status]", notices["discard"])
	if slices.Contains(b.rows(), all.failed) {
		t.Error("it is still open")
	}

	b.click(rowOf(all.partly) + " .decide")
	b.click(button(all.partly, "was-sent"))
	shop.wants(all.partly, outbox.Sent)
	b.wants("[role=status]", notices["was-sent"])
}

// A held message is sent again only from its own page, beside the warning, and then arrives.
func TestBrowserSendsHeldAgain(t *testing.T) {
	shop := openShop(t, nil)
	all := shop.sale()
	b := openBrowser(t, shop.url)
	b.open("/?show=held")
	b.click(rowOf(all.held) + " .decide")
	b.wants("#about-retry", mayBeTwice)
	b.wants("pre", "Message-ID: <lost@example.org>")
	shop.mail.SetHook(nil)
	b.click(button(all.held, "retry"))
	shop.wants(all.held, outbox.Queued)
	shop.work()
	shop.becomes(all.held, outbox.Sent)
	b.open("/queue/" + string(all.held))
	b.wants("h1 .status", "sent")
	b.wants("dl", "Sent again though it might have arrived")
}

// A button that comes too late changes nothing, and the page says why. So does one that was
// shown before the message became uncertain.
func TestBrowserComesTooLate(t *testing.T) {
	shop := openShop(t, nil)
	id := shop.put("anna")
	b := openBrowser(t, shop.url)
	b.open("/")
	shop.work()
	shop.becomes(id, outbox.Sent)
	if status := b.click(button(id, "cancel")); status != 409 {
		t.Error(status)
	}
	b.wants("[role=alert]", "Nothing was changed. outbox: cancel: the message is sent: too late")
	shop.wants(id, outbox.Sent)

	id = shop.put("later")
	shop.becomes(id, outbox.Deferred)
	b.open("/")
	shop.mail.SetHook(hangUp)
	if err := shop.queue.Retry(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	shop.becomes(id, outbox.Held)
	b.click(button(id, "retry"))
	b.wants("[role=alert]", errChanged.Error())
	shop.wants(id, outbox.Held)
}

// Everything can be reached and pressed by the keyboard.
func TestBrowserByKeyboard(t *testing.T) {
	shop := openShop(t, nil)
	id := shop.put("anna")
	b := openBrowser(t, shop.url)
	b.open("/")
	for n := 0; ; n++ {
		b.do(chromedp.KeyEvent(kb.Tab))
		if evaluate[bool](b, `document.activeElement === document.querySelector(`+quote(button(id, "cancel"))+`)`) {
			break
		}
		if n > 20 {
			t.Fatal("Tab does not reach the button")
		}
	}
	b.goes(chromedp.KeyEvent(kb.Enter))
	shop.wants(id, outbox.Canceled)
}

// An order in the form is queued, and the form of the fake server sets what it does.
func TestBrowserOrders(t *testing.T) {
	p := start(t, "")
	b := openBrowser(t, p.url)
	b.open("/")
	b.do(chromedp.SetValue(chromedp.CSS("#behaviour"), "refuse"))
	b.click(`form[action="/fake"] button`)
	b.wants("[role=status]", notices["fake"])
	b.do(chromedp.SendKeys(chromedp.CSS("#email"), "anna@example.net"))
	b.click(`form[action="/orders"] button`)
	b.wants("[role=status]", notices["ordered"])
	p.lines.until(t, "status=failed")
	b.click(`.filters .reload`)
	b.wants("tbody .status", "failed")
	b.wants("tbody", "no such user here")
	b.end() // it has connections open on which it asks nothing
	if err := p.end(); err != nil {
		t.Error(err)
	}
}
