package submission

// cursor walks the commands of an envelope in order: RSET when a transaction
// was left half done, MAIL, RCPT for each recipient that can be asked for, DATA.
type cursor struct {
	stage Stage
	rcpt  int
	done  bool
}

func (t *Transaction) first() cursor {
	if t.s.dirty {
		return cursor{stage: StageReset}
	}
	return cursor{stage: StageMail}
}

// next returns the cursor behind at.
func (t *Transaction) next(at cursor) cursor {
	switch at.stage {
	case StageReset:
		return cursor{stage: StageMail}
	case StageMail:
		at = cursor{stage: StageRcpt, rcpt: -1}
		fallthrough
	case StageRcpt:
		for at.rcpt++; at.rcpt < len(t.env.To); at.rcpt++ {
			if t.plan.bad == nil || t.plan.bad[at.rcpt] == nil {
				return at
			}
		}
		return cursor{stage: StageData, done: t.bdat}
	}
	return cursor{done: true}
}

// command writes the line of a cursor, without its CRLF, into memory that the
// next call uses again.
func (t *Transaction) command(at cursor) []byte {
	m := t.mem
	switch at.stage {
	case StageReset:
		m.line = append(m.line[:0], "RSET"...)
	case StageMail:
		return m.mail
	case StageRcpt:
		m.line = t.plan.appendRcpt(m.line[:0], at.rcpt)
	case StageData:
		m.line = append(m.line[:0], "DATA"...)
	}
	return m.line
}
