package submission

// together reports whether the message may share the flight of its envelope; see
// Options.EarlyData.
func (t *Transaction) together() bool {
	return t.cfg.EarlyData && t.bdat && t.s.ext.Has(extPipelining) && (t.env.Partial || len(t.env.To) == 1)
}

// takeAlong puts the message, as its only chunk, behind the commands that wait to
// be written: the write that follows is the commit point.
func (t *Transaction) takeAlong() {
	c, m := t.s.c, t.mem
	m.hold = t.enc.AppendEnd(m.hold)
	t.octets = int64(len(m.hold))
	t.chunkLine(len(m.hold), true)
	c.w.Data(m.out)
	c.w.Data(m.hold)
	c.messageBegins()
	t.inFlight = true
}

// undelivered hears the reply to a chunk that nobody was to get, nil when
// somebody was. The server had to swallow it (RFC 3030, 2).
func (t *Transaction) undelivered() error {
	if t.deliverable() {
		return nil
	}
	c, e := t.s.c, t.refused().(*SendError)
	r, err := c.reply(StageFinal, t.cfg.Timeouts.DataFinal)
	switch {
	case err != nil:
	case r.Code < 400:
		c.breakUp(&ProtocolError{Stage: StageFinal, Text: "a message for nobody was answered " + c.public(r).String()})
		if t.anyAccepted() { // behind a refused MAIL: who knows
			e.Outcome = Unknown
			t.uncertain()
		}
	default:
		t.s.dirty = true
		c.settled(StageFinal)
	}
	return e
}

// mayHaveIt reports whether, with the message on its way, somebody may get it
// whom the server has not refused.
func (t *Transaction) mayHaveIt() bool {
	if !t.inFlight || t.mail != nil {
		return false
	}
	for i := range t.rcpts {
		if t.rcpts[i].Status == RecipientSent || t.unanswered(i) {
			return true
		}
	}
	return false
}

// unanswered reports whether recipient i was asked for and not heard of.
func (t *Transaction) unanswered(i int) bool {
	return t.inFlight && t.rcpts[i].Reply.Code == 0 && (t.plan.bad == nil || t.plan.bad[i] == nil)
}

// uncertain marks the recipients that may or may not get the message.
func (t *Transaction) uncertain() {
	for i := range t.rcpts {
		if t.rcpts[i].Status == RecipientSent || t.unanswered(i) {
			t.rcpts[i].Status = RecipientUncertain
		}
	}
}
