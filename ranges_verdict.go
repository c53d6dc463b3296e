package submission

// judge says what became of the message as a whole.
func (t *Transaction) judge() (*Result, *SendError) {
	result, failed := judge(&t.plan, &t.attempt)
	if t.ranges.parts == nil {
		return result, failed
	}
	return merge(append(t.ranges.parts, part{result, failed, t.attempt.only}))
}

// part is the verdict on some recipients of a message that went out several times.
type part struct {
	result *Result
	err    *SendError
	only   []bool // the recipients that it is about; nil for all
}

func (p *part) recipients() []RecipientResult {
	if p.err != nil {
		return p.err.Recipients
	}
	return p.result.Recipients
}

// merge makes one verdict of those on the parts of a message, of which the last is the
// one that ended it. A recipient is in the last part that is about it.
func merge(parts []part) (*Result, *SendError) {
	all := Result{Recipients: mergeParts(parts)}
	var failed *SendError // what the caller sees first
	var causes []error
	outcome := NotSent
	for i := range parts {
		p := &parts[i]
		if p.result != nil {
			all.Reply, all.Bytes = p.result.Reply, p.result.Bytes
			outcome = max(outcome, PartlySent)
		}
		if p.err == nil {
			continue
		}
		// What kept the message from more than single recipients is in the last part.
		if failed == nil || i == len(parts)-1 && p.err.Outcome != PartlySent {
			failed = p.err
		}
		outcome = max(outcome, p.err.Outcome)
		if list, ok := p.err.Err.(joined); ok {
			causes = append(causes, list...)
		} else {
			causes = append(causes, p.err.Err)
		}
	}
	if failed == nil {
		return &all, nil
	}
	e := failed.about(all.Recipients)
	e.Outcome, e.Err = outcome, join(causes...)
	if outcome != PartlySent {
		return nil, e
	}
	return &all, e
}

func mergeParts(parts []part) []RecipientResult {
	list := make([]RecipientResult, len(parts[0].recipients()))
	for k := range parts {
		p := &parts[k]
		for i, r := range p.recipients() {
			switch {
			case p.only == nil || p.only[i]:
				said := list[i].Reply // in an earlier part, where it had no room
				if list[i] = r; r.Reply.Code == 0 {
					list[i].Reply = said
				}
			case list[i].Status == RecipientUnsent:
				if list[i].Addr = r.Addr; r.Reply.Code != 0 { // a part that is not about it may say nothing
					list[i].Reply = r.Reply
				}
			}
		}
	}
	return list
}
