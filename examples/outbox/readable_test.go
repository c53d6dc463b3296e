package main

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

var screenshots = flag.String("screenshots", "", "`directory` for pictures of the pages: wide and narrow, light and dark")

// inaccessible lists what a reader with a screen reader, or with weak eyes, has
// trouble with: fields without a label, tables without a caption or cells without a header,
// texts whose contrast is below 4.5 (WCAG 2.2, 1.4.3), and what a narrow window squeezes or cuts off.
const inaccessible = `(() => {
	const bad = [];
	for (const e of document.querySelectorAll("input:not([type=hidden]), select"))
		if (!e.labels.length) bad.push("no label: " + e.outerHTML);
	for (const e of document.querySelectorAll("table")) {
		if (!e.caption) bad.push("no caption");
		for (const r of e.tBodies[0].rows) if (!r.querySelector("th[scope=row]")) bad.push("no header of a row");
	}
	for (const e of document.querySelectorAll("button, a"))
		if (!(e.getAttribute("aria-label") || e.innerText).includes(e.innerText.trim().replace("…", ""))) bad.push("name without its text: " + e.outerHTML);
	const rgb = s => s.match(/[\d.]+/g).map(Number);
	const lum = c => { const f = c.slice(0, 3).map(v => v / 255).map(v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4); return .2126 * f[0] + .7152 * f[1] + .0722 * f[2] };
	for (const e of document.querySelectorAll("body *")) {
		if (![...e.childNodes].some(n => n.nodeType === 3 && n.data.trim()) || !e.checkVisibility()) continue;
		let p = e, back;
		do { back = rgb(getComputedStyle(p).backgroundColor); p = p.parentElement } while (p && back[3] === 0);
		const s = getComputedStyle(e), o = +s.opacity, fore = rgb(s.color).slice(0, 3).map((v, i) => v * o + back[i] * (1 - o));
		const [a, z] = [lum(fore), lum(back)].sort((x, y) => y - x), ratio = (a + .05) / (z + .05);
		if (ratio < 4.5) bad.push("contrast " + ratio.toFixed(2) + ": " + e.outerHTML.slice(0, 100));
	}
	for (const e of document.querySelectorAll("td, tbody th"))
		if (innerWidth < 500 && e.innerText.trim() && e.clientWidth < innerWidth / 2) bad.push("squeezed: " + e.innerText);
	if (document.documentElement.scrollWidth > innerWidth) bad.push("wider than the window: " + document.documentElement.scrollWidth);
	return bad;
})()`

// The pages can be read in a wide and in a narrow window, in light and in dark.
func TestBrowserReadable(t *testing.T) {
	shop := openShop(t, nil)
	all := shop.sale()
	fake, err := startFake("later", shop.log)
	if err != nil {
		t.Fatal(err)
	}
	defer fake.stop()
	shop.service.fake = fake
	b := openBrowser(t, shop.url)
	pages := map[string]string{"list": "/?show=all&done=retry", "held": "/queue/" + string(all.held), "failed": "/queue/" + string(all.failed), "error": "/queue/none", "empty": "/?show=dropped"}
	for size, width := range map[string]int64{"wide": 1280, "narrow": 360} {
		for _, scheme := range []string{"light", "dark"} {
			b.do(chromedp.EmulateViewport(width, 800))
			media := emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}}
			if _, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, media); err != nil {
				t.Fatal(err)
			}
			for name, path := range pages {
				b.open(path)
				if bad := evaluate[[]string](b, inaccessible); len(bad) > 0 {
					t.Errorf("%s, %s, %s:\n%s", name, size, scheme, strings.Join(bad, "\n"))
				}
				b.picture(strings.Join([]string{name, size, scheme}, "-"))
			}
		}
	}
}

func (b *browser) picture(name string) {
	b.t.Helper()
	if *screenshots == "" {
		return
	}
	png, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
	if err == nil {
		err = os.WriteFile(filepath.Join(*screenshots, name+".png"), png, 0o600)
	}
	if err != nil {
		b.t.Fatal(err)
	}
}
