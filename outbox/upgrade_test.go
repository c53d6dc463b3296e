package outbox_test

import (
	"fmt"
	"testing"

	"github.com/fe022423/submission/outbox"
	"github.com/fe022423/submission/smtptest"
)

// A message that an older program held, because it could not read it, is sent by Retry once a
// program can: with its recipients, its key and what else it had, and once.
func TestRetryAfterUpgrade(t *testing.T) {
	srv := smtptest.New(t, nil)
	ob := open(t, nil)
	ctx := deadline(t)
	id := enqueue(t, ob, envelope("a@example.net", "b@example.net"), &outbox.Item{Key: "k", Route: "r", Headers: map[string]string{"n": "v"}})
	// This is the record that the older one writes of it: it knew nothing but the ID.
	text := fmt.Sprintf(`{"ID":%q,"Status":"held","Err":"message of version \"2\": this program reads version 1"}`, id)
	if err := ob.PublishRaw(ctx, string(id)+".s", fmt.Appendf(nil, "outbox state 1 %d\n%s", len(text), text)); err != nil {
		t.Fatal(err)
	}
	if err := ob.Retry(ctx, id); err != nil {
		t.Fatal(err)
	}
	r := get(t, ob, id)
	if r.Status != outbox.Queued || len(r.Recipients) != 2 || r.Key != "k" || r.Route != "r" || r.Headers["n"] != "v" || r.Uncertain != 0 {
		t.Errorf("%+v", r)
	}
	w := work(t, ob, srv, nil)
	w.must(outbox.Sent)
	w.stop()
	if m := srv.Messages(); len(m) != 1 || len(m[0].To) != 2 {
		t.Errorf("%v", m)
	}
}
