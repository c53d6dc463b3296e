package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/fe022423/submission/smtptest"
)

// demonstrate sends to a fake server that takes a while for each message. args are flags.
func demonstrate(ctx context.Context, args []string, out io.Writer) error {
	srv := smtptest.NewServer(&smtptest.Config{
		Hook: smtptest.Delay(300*time.Millisecond, smtptest.On("MESSAGE", "", "250 2.0.0 message accepted")),
	})
	defer srv.Close()
	folder, err := os.MkdirTemp("", "shutdown")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	var list strings.Builder
	for i := range 200 {
		fmt.Fprintf(&list, "customer-%03d@example.net\n", i+1)
	}
	file := filepath.Join(folder, "list.txt")
	if err := os.WriteFile(file, []byte(list.String()), 0o600); err != nil {
		return err
	}
	err = run(ctx, append(args[:len(args):len(args)], file), srv.URL()+"&from=shop@example.org", out)
	fmt.Fprintf(out, "The server has %d messages.\n", len(srv.Messages()))
	return err
}
