package transfer

import (
	"slices"
	"strings"

	"github.com/fe022423/submission/internal/link"
)

// What a Record says about a server that takes fewer recipients than it was asked for.
// RFC 5321, 4.5.3.1.10 has it accept as many as it can, answer the others with 452, or
// 552, and the client send the message to those in another transaction.

// Overflows reports whether recipient i was refused, or not asked for any more, only
// because the server had accepted as many as it takes in one transaction.
func (r *Record) Overflows(i int) bool {
	if r.FullAt > 0 && i >= r.FullAt {
		return !r.Mode.Skips(i)
	}
	return saysTooMany(r.Rcpt[i]) && r.anyAccepted(0, i)
}

// saysTooMany reports whether a reply to RCPT says that there are too many recipients: by
// the enhanced code x.5.3 (RFC 3463, 3.6), or without one in words, since 452 and 552 may
// be about a full mailbox. Servers exist that say it with another 4yz.
func saysTooMany(reply link.Reply) bool {
	if !reply.Negative() || reply.Closing() {
		return false
	}
	if subject, detail := status(reply); subject != "" {
		return subject == "5" && detail == "3"
	}
	text := strings.ToLower(reply.Text)
	return (reply.Code/100 == 4 || reply.Code == 552) && (strings.Contains(text, "too many") || strings.Contains(text, "recipients"))
}

// SaysTooMany reports whether a recipient was refused for being one too many, even where
// the server had taken none.
func (r *Record) SaysTooMany() bool { return slices.ContainsFunc(r.Rcpt, saysTooMany) }

// AnyOverflows reports whether a recipient does.
func (r *Record) AnyOverflows() bool {
	for i := range r.Rcpt {
		if r.Overflows(i) {
			return true
		}
	}
	return false
}

// TookBeforeFull returns how many recipients the server took before it was full.
func (r *Record) TookBeforeFull() int {
	n := 0
	for i := 0; i < len(r.Rcpt) && !r.Overflows(i); i++ {
		if r.Accepted(i) {
			n++
		}
	}
	return n
}

// anyAccepted reports whether the server took a recipient from from up to to.
func (r *Record) anyAccepted(from, to int) bool {
	return slices.ContainsFunc(r.Rcpt[from:to], link.Reply.Positive)
}

// NotAsked reports whether recipient i is not asked for.
func (r *Record) NotAsked(i int) bool { return r.Mode.Skips(i) || r.FullAt > 0 && i >= r.FullAt }
