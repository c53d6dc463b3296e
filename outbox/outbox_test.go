package outbox_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fe022423/submission"
	"github.com/fe022423/submission/outbox"
	"github.com/fe022423/submission/smtptest"
)

func TestQueuedMessageIsSent(t *testing.T) {
	srv := smtptest.New(t, nil)
	ob := open(t, nil)
	id := enqueue(t, ob, envelope(), &outbox.Item{Key: "order 1", Route: "r"})
	if r := get(t, ob, id); r.Status != outbox.Queued || r.Key != "order 1" || r.Attempts != 0 || len(r.Recipients) != 1 {
		t.Errorf("%+v", r)
	}
	c := work(t, ob, srv, nil)
	if r := c.must(outbox.Sent); r.ID != id || r.Attempts != 1 || r.Recipients[0].Status != outbox.Sent {
		t.Errorf("%+v", r)
	}
	m, err := srv.Next(deadline(t))
	if err != nil || string(m.Data) != "Subject: test\r\n\r\nhello\r\n" || m.From != "me@example.org" {
		t.Errorf("%+v, %v", m, err)
	}
	c.stop()
	if r := get(t, ob, id); r.Status != outbox.Sent {
		t.Errorf("%+v", r)
	}
	if _, _, err := ob.Message(deadline(t), id); !errors.Is(err, outbox.ErrNotFound) {
		t.Errorf("the octets of a message that was sent: %v", err)
	}
	if len(srv.Messages()) != 1 {
		t.Errorf("%d messages", len(srv.Messages()))
	}
}

func TestQueueSurvivesARestart(t *testing.T) {
	srv := smtptest.New(t, nil)
	dir := t.TempDir()
	in := func(o *outbox.Options) { o.Dir = dir }
	ob := open(t, in)
	id := enqueue(t, ob, envelope(), nil)
	if err := ob.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := ob.Get(deadline(t), id); !errors.Is(err, outbox.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	ob = open(t, in)
	c := work(t, ob, srv, nil)
	if r := c.must(outbox.Sent); r.ID != id {
		t.Errorf("%+v", r)
	}
}

func TestOneOutboxADirectory(t *testing.T) {
	dir := t.TempDir()
	open(t, func(o *outbox.Options) { o.Dir = dir })
	if _, err := outbox.Open(deadline(t), &outbox.Options{Dir: dir}); err == nil || !strings.Contains(err.Error(), "in use by another") {
		t.Errorf("%v", err)
	}
}

func TestKeys(t *testing.T) {
	ob := open(t, nil)
	ctx := deadline(t)
	it := &outbox.Item{Key: "k"}
	first := enqueue(t, ob, envelope(), it)
	for name, c := range map[string]struct {
		env  submission.Envelope
		body string
		want error
	}{
		"the same":         {envelope(), "hello", outbox.ErrDuplicate},
		"other octets":     {envelope(), "hellO", outbox.ErrConflict},
		"another envelope": {envelope("me@example.com"), "hello", outbox.ErrConflict},
	} {
		id, err := ob.Enqueue(ctx, c.env, text(c.body), it)
		if !errors.Is(err, c.want) || id != first {
			t.Errorf("%s: %q, %v", name, id, err)
		}
	}
	if id := outbox.IDOf("k"); id != first {
		t.Errorf("IDOf is %q, the message has %q", id, first)
	}
	if a, b := enqueue(t, ob, envelope(), nil), enqueue(t, ob, envelope(), nil); a == b {
		t.Error("two messages without a key have one ID")
	}
	// The key outlives the message.
	if err := ob.Cancel(ctx, first); err != nil {
		t.Fatal(err)
	}
	if _, err := ob.Enqueue(ctx, envelope(), text("hello"), it); !errors.Is(err, outbox.ErrDuplicate) {
		t.Errorf("after Cancel: %v", err)
	}
}

func TestEnqueueRefuses(t *testing.T) {
	ob := open(t, nil)
	broken := errors.New("broken")
	for name, c := range map[string]struct {
		env  submission.Envelope
		body io.Reader
		it   *outbox.Item
	}{
		"no recipient":       {submission.Envelope{From: "me@example.org"}, text(""), nil},
		"a bad address":      {envelope("a b@example.net"), text(""), nil},
		"no body":            {envelope(), nil, nil},
		"a broken body":      {envelope(), io.MultiReader(text(""), iotest{broken}), nil},
		"a long key":         {envelope(), text(""), &outbox.Item{Key: strings.Repeat("k", 257)}},
		"a bad route":        {envelope(), text(""), &outbox.Item{Route: "a\nb"}},
		"a bad priority":     {envelope(), text(""), &outbox.Item{Priority: 9}},
		"a bad policy":       {envelope(), text(""), &outbox.Item{OnUncertain: 9}},
		"many headers":       {envelope(), text(""), &outbox.Item{Headers: map[string]string{"a": strings.Repeat("b", 5000)}}},
		"a large and broken": {envelope(), io.MultiReader(strings.NewReader(strings.Repeat("a", 300<<10)), iotest{broken}), nil},
	} {
		if id, err := ob.Enqueue(deadline(t), c.env, c.body, c.it); err == nil || id != "" {
			t.Errorf("%s: %q, %v", name, id, err)
		}
		err := outbox.Message{Envelope: c.env, Body: c.body, Item: c.it}.Check()
		if readsTheBody := strings.Contains(name, "broken"); (err == nil) != readsTheBody {
			t.Errorf("%s: Check says %v", name, err)
		}
	}
	if s, err := ob.Stats(deadline(t)); err != nil || len(s.Counts) != 0 {
		t.Errorf("%+v, %v", s, err)
	}
}

type iotest struct{ err error }

func (r iotest) Read([]byte) (int, error) { return 0, r.err }

func TestLargeMessage(t *testing.T) {
	srv := smtptest.New(t, nil)
	ob := open(t, nil)
	body := bytes.Repeat([]byte("0123456789abcdef0123456789abcdef\r\n"), 30000) // about 1 MB
	id, err := ob.Enqueue(deadline(t), envelope(), bytes.NewReader(body), &outbox.Item{Key: "large"})
	if err != nil {
		t.Fatal(err)
	}
	if again, err := ob.Enqueue(deadline(t), envelope(), bytes.NewReader(body), &outbox.Item{Key: "large"}); again != id || !errors.Is(err, outbox.ErrDuplicate) {
		t.Errorf("%q, %v", again, err)
	}
	env, r, err := ob.Message(deadline(t), id)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, body) || env.To[0].Addr != "you@example.net" {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	r.Close()
	before, _ := ob.Stats(deadline(t))
	c := work(t, ob, srv, nil)
	c.must(outbox.Sent)
	c.stop()
	if m, err := srv.Next(deadline(t)); err != nil || !bytes.Equal(m.Data, body) {
		t.Errorf("%d bytes, %v", len(m.Data), err)
	}
	if after, _ := ob.Stats(deadline(t)); after.Bytes > before.Bytes/10 {
		t.Errorf("%d bytes of %d are left", after.Bytes, before.Bytes)
	}
}

func TestEnqueueAll(t *testing.T) {
	ob := open(t, nil)
	ctx := deadline(t)
	batch := func(keys ...string) []outbox.Message {
		var list []outbox.Message
		for _, k := range keys {
			list = append(list, outbox.Message{Envelope: envelope(), Body: text(k), Item: &outbox.Item{Key: k}})
		}
		return list
	}
	count := func() int { s, _ := ob.Stats(ctx); return s.Counts[outbox.Queued] }
	ids, err := ob.EnqueueAll(ctx, slices.Values(batch("a", "b", "c")))
	if err != nil || len(ids) != 3 || count() != 3 {
		t.Fatalf("%v, %v, %d queued", ids, err, count())
	}
	again, err := ob.EnqueueAll(ctx, slices.Values(batch("a", "b", "c")))
	if !errors.Is(err, outbox.ErrDuplicate) || !slices.Equal(again, ids) {
		t.Errorf("the same again: %v, %v", again, err)
	}
	for name, list := range map[string][]outbox.Message{
		"some are there": batch("d", "e", "b"),
		"a key twice":    batch("d", "d"),
		"one is bad":     append(batch("d"), outbox.Message{Envelope: submission.Envelope{}, Body: text("")}),
		"too many":       slices.Repeat(batch(""), 1001),
	} {
		if ids, err := ob.EnqueueAll(ctx, slices.Values(list)); err == nil || ids != nil || errors.Is(err, outbox.ErrDuplicate) {
			t.Errorf("%s: %v, %v", name, ids, err)
		}
	}
	if ids, err := ob.EnqueueAll(ctx, slices.Values([]outbox.Message{})); err != nil || ids != nil {
		t.Errorf("none: %v, %v", ids, err)
	}
	if count() != 3 {
		t.Errorf("%d queued", count())
	}
}

func TestListAndStats(t *testing.T) {
	ob := open(t, nil)
	ctx := deadline(t)
	a := enqueue(t, ob, envelope(), &outbox.Item{Route: "x"})
	b := enqueue(t, ob, envelope(), &outbox.Item{Route: "y"})
	c := enqueue(t, ob, envelope(), &outbox.Item{Route: "x", NotBefore: time.Now().Add(time.Hour)})
	if err := ob.Cancel(ctx, b); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]struct {
		f   outbox.Filter
		ids []outbox.ID
	}{
		"all":      {outbox.Filter{}, []outbox.ID{a, c, b}},
		"queued":   {outbox.Filter{Status: []outbox.Status{outbox.Queued}}, []outbox.ID{a, c}},
		"canceled": {outbox.Filter{Status: []outbox.Status{outbox.Canceled, outbox.Held}}, []outbox.ID{b}},
		"route":    {outbox.Filter{Route: "y"}, []outbox.ID{b}},
		"old":      {outbox.Filter{OlderThan: time.Hour}, nil},
	} {
		var got []outbox.ID
		for r, err := range ob.List(ctx, want.f) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, r.ID)
		}
		if !slices.Equal(got, want.ids) {
			t.Errorf("%s: %v, want %v", name, got, want.ids)
		}
	}
	s, err := ob.Stats(ctx)
	if err != nil || s.Counts[outbox.Queued] != 2 || s.Counts[outbox.Canceled] != 1 || s.OldestQueued <= 0 || s.Bytes <= 0 {
		t.Errorf("%+v, %v", s, err)
	}
	// List ends while what it lists is deleted under it.
	for r, err := range ob.List(ctx, outbox.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		ob.Cancel(ctx, r.ID)
		ob.Cancel(ctx, c)
	}
	if _, err := ob.Get(ctx, "nothing"); !errors.Is(err, outbox.ErrNotFound) {
		t.Error(err)
	}
	if _, err := ob.Get(context.Background(), "a.>"); !errors.Is(err, outbox.ErrNotFound) {
		t.Error(err)
	}
}
