//go:build !linux && !darwin && !freebsd

package embedded

// Room is not known on this system: a full disk then shows by time-outs of the engine.
func (e *embedded) Room() (n int64, known bool) { return 0, false }
