package outbox

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// The transfer of a large message goes on as long as it is read, for hours if need be, and
// ends when nobody reads, or when it is canceled.
func TestPatientTransfer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		parent, cancel := context.WithCancel(context.Background())
		defer cancel()
		ctx, stop := newPatient(parent)
		defer stop()
		for range 100 {
			if at, ok := ctx.Deadline(); !ok || time.Until(at) != objectRead {
				t.Fatal(at, ok)
			}
			time.Sleep(objectIdle - time.Second)
			if ctx.Err() != nil {
				t.Fatal("it ended while it was read")
			}
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if ctx.Err() == nil {
			t.Error("it goes on although nobody reads")
		}
		ctx, stop = newPatient(parent)
		defer stop()
		cancel()
		if ctx.Err() == nil {
			t.Error("it goes on although it was canceled")
		}
	})
}
