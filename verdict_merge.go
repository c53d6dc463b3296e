package submission

import "slices"

// merged is the verdict on an envelope of which parts were sent one after the other, each
// with a verdict of its own. A later part has recipients whom the ones before left unsent.
type merged struct {
	env        *Envelope
	recipients []RecipientResult // of the whole envelope
	causes     []error           // why each of them is invalid, nil for one that is not
	at         []int             // which of them the last part was for
	failed     *SendError        // on the last part, nil when it was sent to everyone
	taken      Result            // of the last part that the server accepted
	ended      error             // why no further part was tried although one might have helped
}

func newMerged(env *Envelope) *merged {
	m := &merged{env: env, recipients: make([]RecipientResult, len(env.To)), causes: make([]error, len(env.To))}
	for i := range env.To {
		m.recipients[i].Addr = env.To[i].Addr
	}
	return m
}

// add merges the verdict on a part, which was for the recipients with the indexes at, in
// their order.
func (m *merged) add(at []int, res *Result, failed *SendError) {
	m.at, m.failed = at, failed
	if res != nil {
		m.taken = *res
	}
	if failed == nil {
		mergeRecipients(m.recipients, res.Recipients, at)
		return
	}
	mergeRecipients(m.recipients, failed.Recipients, at)
	refused := addressErrors(failed.Err)
	for i, r := range failed.Recipients {
		if r.Status == RecipientInvalid {
			refused, m.causes[at[i]] = m.causeOf(at[i], r, refused)
		}
	}
}

// mergeRecipients puts what became of the recipients of a part, which have the indexes at,
// into the list of all. What was sent stays sent, and where a part says nothing of a
// recipient, what an earlier one said stays.
func mergeRecipients(all, part []RecipientResult, at []int) {
	for i, r := range part {
		was := &all[at[i]]
		if was.Status != RecipientSent && (r.Status != RecipientUnsent || r.Reply.Code != 0) {
			*was = r
		}
	}
}

// causeOf returns why recipient i is invalid: the first of the refusals that is about r, or
// what the verdict left out beside what stopped the part. more are the refusals after it.
func (m *merged) causeOf(i int, r RecipientResult, refused []*AddressError) (more []*AddressError, cause error) {
	about := func(e *AddressError) bool {
		return e.Addr == r.Addr && (e.Reply == nil && r.Reply.Code == 0 || e.Reply != nil && e.Reply.Code == r.Reply.Code)
	}
	if n := slices.IndexFunc(refused, about); n >= 0 {
		return refused[n+1:], refused[n]
	}
	if r.Reply.Code != 0 {
		return refused, &AddressError{Addr: r.Addr, Reply: &r.Reply}
	}
	p := plan{env: *m.env}
	return refused, &AddressError{Addr: r.Addr, Err: p.writeRcpt(&plannedRcpt{}, &m.env.To[i])}
}

// addressErrors lists the refused recipients in the causes of a verdict.
func addressErrors(err error) []*AddressError {
	switch err := err.(type) {
	case *AddressError:
		return []*AddressError{err}
	case joined:
		var list []*AddressError
		for _, e := range err {
			list = append(list, addressErrors(e)...)
		}
		return list
	}
	return nil
}

// verdict is the verdict on the whole envelope, as far as its parts were sent. What it
// returns is not changed by a later part.
func (m *merged) verdict() (*Result, *SendError) {
	list := slices.Clone(m.recipients)
	res := &Result{Recipients: list, Reply: m.taken.Reply, Bytes: m.taken.Bytes}
	settled, some := m.settled(), false
	for i := range list {
		some = some || list[i].Status == RecipientSent
	}
	if m.failed == nil && settled == nil {
		return res, nil
	}
	e := m.failed.about(list)
	if e.partial = e.partial || some || settled != nil; m.failed == nil {
		e.blame(settled)
	}
	e.Err = join(append(settled, e.Err, m.ended)...)
	if some && e.Outcome != Unknown {
		e.Outcome = PartlySent
	}
	if e.Outcome != PartlySent {
		res = nil
	}
	return res, e
}

// settled are the causes of the recipients that the last part was not for any more.
func (m *merged) settled() []error {
	var list []error
	for i, cause := range m.causes {
		if _, tried := slices.BinarySearch(m.at, i); cause != nil && !tried {
			list = append(list, cause)
		}
	}
	return list
}

// blame sets where a message failed that was sent to all but those who were refused in
// earlier parts.
func (e *SendError) blame(settled []error) {
	e.Stage, e.each = StageFinal, true
	for _, cause := range settled {
		if r, ok := cause.(*AddressError); !ok || !r.final {
			e.Stage, e.each = StageRcpt, false
		}
	}
	for i := range e.Recipients {
		if r := &e.Recipients[i]; r.Status == RecipientInvalid && r.Reply.Code != 0 {
			e.Reply = &r.Reply
			return
		}
	}
}
