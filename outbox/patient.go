package outbox

import (
	"context"
	"io"
	"time"
)

const (
	// objectRead bounds the wait for the next part of a large message.
	objectRead = 30 * time.Second
	// objectIdle bounds the time in which nobody asks for one. A mail server may take its
	// time for a block: 3 minutes are usual (RFC 5321, 4.5.3.2.5).
	objectIdle = 10 * time.Minute
)

// patient is the context of the transfer of a large message. The client of the engine gives a
// transfer whose context has no deadline a few seconds in all, which a slow mail server, or a
// slow upload, exceeds. Here the deadline moves on as long as the transfer does: the client
// asks for it at each read.
type patient struct {
	context.Context
	idle *time.Timer
}

func newPatient(ctx context.Context) (patient, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	p := patient{ctx, time.AfterFunc(objectIdle, cancel)}
	return p, func() { p.idle.Stop(); cancel() }
}

// Deadline is objectRead from now, at each call.
func (p patient) Deadline() (time.Time, bool) {
	p.idle.Reset(objectIdle)
	return time.Now().Add(objectRead), true
}

// upload is a source whose reads show that the transfer goes on, and that is not read faster
// than the engine stores: it refuses what it has to keep in memory above 128 MiB.
type upload struct {
	io.Reader
	ctx   patient
	store *store
	ahead int // bytes read since the engine had stored everything
}

// maxAhead is how far the engine may be behind.
const maxAhead = 8 << 20

func (u *upload) Read(p []byte) (int, error) {
	u.ctx.Deadline()
	if err := u.store.diskRoom(int64(len(p)), spareForMail); err != nil {
		return 0, err
	}
	if u.ahead >= maxAhead {
		if err := u.store.objectsStored(u.ctx); err != nil {
			return 0, err
		}
		u.ahead = 0
	}
	n, err := u.Reader.Read(p)
	u.ahead += n
	return n, err
}
