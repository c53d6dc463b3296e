package submission_test

import (
	"context"
	"testing"

	"github.com/fe022423/submission"
)

// Options that New and NewSession refuse.
func TestOptionsRefused(t *testing.T) {
	for option, o := range map[string]submission.Options{
		"TLS":       {TLS: submission.TLSNone + 1},
		"ChunkSize": {ChunkSize: -1},
		"Timeouts":  {Timeouts: submission.Timeouts{Greeting: -1}},
		"Pool":      {Pool: submission.PoolOptions{MaxAge: -1}},
		"From":      {From: "a@b\r\nRSET"},
	} {
		_, err := submission.New(testHost, &o)
		if e := wantError[*submission.OptionError](t, err); e.Option != option || e.Temporary() || e.Err == nil {
			t.Errorf("%s: %v", option, err)
		}
		_, err = submission.NewSession(context.Background(), play(t, "whole", "eof"), testHost, &o)
		if e := wantError[*submission.OptionError](t, err); e.Option != option {
			t.Errorf("%s: %v", option, err)
		}
	}
	if _, err := submission.NewSession(context.Background(), nil, testHost, nil); err == nil {
		t.Error("NewSession accepts nil as a connection")
	}
}
