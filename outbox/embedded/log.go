package embedded

import (
	"context"
	"fmt"
	"log/slog"
)

// logger hands what the server logs to a slog.Logger. What it says of its ordinary life is of
// interest only to who looks for a fault.
type logger struct{ to *slog.Logger }

func (l logger) Noticef(format string, v ...any) { l.log(slog.LevelDebug, format, v) }
func (l logger) Warnf(format string, v ...any)   { l.log(slog.LevelWarn, format, v) }
func (l logger) Errorf(format string, v ...any)  { l.log(slog.LevelError, format, v) }
func (l logger) Debugf(format string, v ...any)  { l.log(slog.LevelDebug, format, v) }
func (l logger) Tracef(format string, v ...any)  { l.log(slog.LevelDebug, format, v) }

// Fatalf does not end the process, as the server's own logger does: it is not the server's.
func (l logger) Fatalf(format string, v ...any) { l.log(slog.LevelError, format, v) }

func (l logger) log(level slog.Level, format string, v []any) {
	if l.to != nil {
		l.to.Log(context.Background(), level, "outbox engine: "+fmt.Sprintf(format, v...))
	}
}
