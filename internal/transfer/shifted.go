package transfer

import (
	"slices"
	"strings"

	"github.com/fe022423/submission/internal/link"
)

// What a Record says about replies that stand in the wrong place.

// shifted reports whether a final reply may answer something else than the
// message, so that it is no verdict on it. Message data that follows a 354 has that
// as its guard; a chunk has none but that the link was looked at before the last octet
// went out, and what the replies say.
//
// Under LMTP an enhanced code x.1.z tells nothing, since a final reply is about an
// address: a chunk has the look and the number of the replies. Several final replies
// can be one too many among themselves, with DATA as well: some servers answer for
// recipients that they refused, or for what an alias stands for.
func (r *Record) shifted() bool {
	final := r.FirstFinal()
	switch {
	case final.Code == 0:
		return false
	case r.Mode.LMTP && r.asked() > 1:
		return r.oneTooMany()
	}
	return r.Mode.Chunking && (!r.Mode.LMTP && r.aboutAddress(final) || r.tooMany())
}

// oneTooMany reports whether there was a final reply too many, and not all of them say
// the same, so that nobody knows which of them are about whom.
func (r *Record) oneTooMany() bool {
	extra := r.Surplus
	differs := func(f link.Reply) bool { return f.Positive() != extra.Positive() }
	return extra.Code != 0 && !extra.Closing() && r.anyFinal(differs)
}

// aboutAddress reports whether what should answer octets of the message is about an
// address: it has an enhanced code x.1.z (RFC 3463, 3.2), from a server that uses
// such codes. It is one reply too many to the envelope.
func (r *Record) aboutAddress(reply link.Reply) bool {
	return r.Mode.EnhancedCodes && subject(reply) == "1"
}

// tooMany reports whether a reply too many leaves open what the final reply
// answers. In a flight that the message shared with its envelope every reply can be
// shifted by one; after it, a reply that accepts can be one that came late.
func (r *Record) tooMany() bool {
	switch extra := r.Surplus; {
	case extra.Closing(), extra.Code == 0 && !(r.Noise && r.Together):
		return false
	case r.Together:
		accepted, always := r.mayBeAccepted()
		return accepted && (!always || r.mixed(0, len(r.Rcpt)))
	default:
		return r.FirstFinal().Positive() && !extra.Positive()
	}
}

// mayBeAccepted goes through the ways to take one of the replies of a flight, with
// the surplus one, for the reply too many. accepted reports whether in one of them
// the message may have been accepted, always whether it was in each.
func (r *Record) mayBeAccepted() (accepted, always bool) {
	replies := make([]bool, 0, len(r.Rcpt)+3)
	replies = append(replies, r.Mail.Positive())
	for i := range r.Rcpt {
		if !r.NotAsked(i) {
			replies = append(replies, r.Accepted(i))
		}
	}
	replies = append(replies, r.FirstFinal().Positive(), r.Surplus.Positive())
	// What is neither an acceptance nor a refusal leaves a message open.
	unclear := !r.Surplus.Positive() && !r.Surplus.Negative()
	always = true
	for skip := range replies {
		left := slices.Delete(slices.Clone(replies), skip, skip+1)
		last := len(left) - 1
		// After a refused MAIL that was no refusal to the recipients, who knows.
		delivers := slices.Contains(left[1:last], true)
		always = always && left[0] && delivers && left[last]
		accepted = accepted || delivers && (left[last] || unclear && skip <= last)
	}
	return accepted, always
}

// mixed reports whether MAIL, the recipients from one up to another, and the message
// were in part accepted and in part refused.
func (r *Record) mixed(from, to int) bool {
	accepted := r.Mail.Positive() || r.anyFinal(link.Reply.Positive)
	refused := r.Mail.Negative() || r.anyFinal(link.Reply.Negative)
	for _, reply := range r.Rcpt[from:to] {
		accepted, refused = accepted || reply.Positive(), refused || reply.Negative()
	}
	return accepted && refused
}

// forget drops the replies to MAIL and to the recipients from one up to another:
// a reply too many or too few came among them, and when they differ nobody knows
// which answers what.
func (r *Record) forget(from, to int) {
	if r.mixed(from, to) {
		r.Mail = link.Reply{}
		clear(r.Rcpt[from:to])
		clear(r.Finals)
	}
}

// subject returns the second part of a reply's enhanced code, "" when it has no
// code that fits it.
func subject(r link.Reply) string {
	subject, _ := status(r)
	return subject
}

// status returns the second and third number of the enhanced code of a reply, "" where
// it has none, or one that its code contradicts.
func status(r link.Reply) (subject, detail string) {
	class, rest, _ := strings.Cut(r.Text, ".")
	subject, rest, ok := strings.Cut(rest, ".")
	if !ok || len(class) != 1 || int(class[0]-'0') != r.Code/100 {
		return "", ""
	}
	end := strings.IndexFunc(rest, func(c rune) bool { return c < '0' || c > '9' })
	if end < 0 {
		end = len(rest)
	}
	return subject, rest[:end]
}
