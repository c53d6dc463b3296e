package outbox_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/fe022423/submission"
	"github.com/fe022423/submission/outbox"
	"github.com/fe022423/submission/smtptest"
)

// The answer to Enqueue is lost, and a worker is faster than the repetition: the record that
// is there then is the worker's. The message is safe all the same, with its octets, large
// ones too, and without a key the call has done what it should.
func TestWorkerThatIsFasterThanALostAnswer(t *testing.T) {
	for name, c := range map[string]struct {
		key  string
		size int
		want error
	}{
		"short":            {"", 100, nil},
		"short with a key": {"k", 100, outbox.ErrDuplicate},
		"large":            {"", 300 << 10, nil},
		"large with a key": {"k", 300 << 10, outbox.ErrDuplicate},
	} {
		t.Run(name, func(t *testing.T) {
			srv := smtptest.New(t, &smtptest.Config{Hook: smtptest.On("MAIL", "", "451 later")})
			ob := open(t, nil)
			settled := make(chan outbox.Event, 10)
			other, err := outbox.Open(deadline(t), &outbox.Options{Conn: outbox.Conn(ob), Observe: func(e outbox.Event) {
				if e.Kind == outbox.EventSettled {
					settled <- e
				}
			}})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { other.Close() })
			lost := false
			outbox.SetSeam(ob, func(call string) error {
				if call != "published" || lost {
					return nil
				}
				lost = true
				w := work(t, other, srv, func(o *outbox.WorkOptions) {
					o.Backoff = func(int, *submission.SendError) time.Duration { return time.Hour }
				})
				<-settled
				w.stop()
				return nats.ErrTimeout
			})
			body := bytes.Repeat([]byte("x"), c.size)
			id, err := ob.Enqueue(deadline(t), envelope(), bytes.NewReader(body), &outbox.Item{Key: c.key})
			if !errors.Is(err, c.want) {
				t.Errorf("%v, want %v", err, c.want)
			}
			if r := get(t, ob, id); r.Status != outbox.Deferred {
				t.Errorf("it is %s", r.Status)
			}
			_, r, err := other.Message(context.Background(), id)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, body) {
				t.Errorf("%d of %d octets: %v", len(got), len(body), err)
			}
		})
	}
}
