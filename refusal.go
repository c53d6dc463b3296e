package submission

// refusedRcpt reports whether the server refused recipient i.
func (t *Transaction) refusedRcpt(i int) bool {
	return t.rcpts[i].Reply.Code >= 400 && t.rcpts[i].Reply.Code != codeClosing
}

func (t *Transaction) firstRefusal() *Reply {
	for i := range t.rcpts {
		if t.refusedRcpt(i) {
			return &t.rcpts[i].Reply
		}
	}
	return nil
}

// refusals lists what was refused so far, the sender first.
func (t *Transaction) refusals() []error {
	var errs []error
	if t.mail != nil {
		errs = append(errs, &SenderError{Addr: t.plan.from, Reply: t.mail})
	}
	for i := range t.rcpts {
		if t.plan.bad != nil && t.plan.bad[i] != nil {
			errs = append(errs, t.plan.bad[i])
		} else if t.refusedRcpt(i) && t.mail == nil {
			errs = append(errs, &AddressError{Addr: t.rcpts[i].Addr, Reply: &t.rcpts[i].Reply})
		}
	}
	return errs
}

// refused is the error of an envelope that the server did not take, naming the
// first refusal that stopped it.
func (t *Transaction) refused() error {
	e := &SendError{Stage: StageRcpt, Reply: t.firstRefusal(), Err: join(t.refusals()...)}
	switch {
	case t.mail != nil:
		e.Stage, e.Reply = StageMail, t.mail
	case t.data != nil && t.deliverable():
		e.Stage, e.Reply = StageData, t.data
	}
	return e
}

// loss is the error of a session that ended at stage. What the server refused
// before it stays what the caller sees first.
func (t *Transaction) loss(stage Stage, err error) *SendError {
	e := &SendError{Stage: stage, Err: err}
	link, _ := err.(*linkError)
	said := link != nil && link.reply != nil // a 421 ends what came behind it too
	if link != nil {
		e.Reply = link.reply
		// Nothing of this message was answered: a fresh session may take it.
		e.again = (stage == StageMail || stage == StageReset) && !link.late() && (said || !t.inFlight)
	}
	if !said && t.mayHaveIt() {
		t.uncertain()
		e.Outcome, e.Err = Unknown, join(append(t.refusals(), err)...)
		return e
	}
	if refusals := t.refusals(); refusals != nil {
		if t.mail != nil || !t.env.Partial {
			e = t.refused().(*SendError)
		}
		e.Err = join(append(refusals, err)...)
	}
	return e
}

// lost is loss, with the transaction over.
func (t *Transaction) lost(stage Stage, err error) error { return t.over(t.loss(stage, err)) }

// refuse ends a transaction that asks for what cannot be had; nothing was sent.
func (t *Transaction) refuse(err error) error {
	t.clearRcpts()
	e := &SendError{Stage: StageMail, Err: err}
	if isType[*AddressError](err) || err == ErrNoRecipients {
		e.Stage = StageRcpt
	}
	return t.over(e)
}

// undialed is the error of a message for which there was no session.
func (t *Transaction) undialed(err error) *SendError {
	e := &SendError{Stage: StageDial, Err: err}
	switch err := err.(type) {
	case *ConnectError:
		e.Stage, e.Reply = err.Stage, err.Reply
	case *TLSError:
		e.Stage = StageTLS
	case *AuthError:
		e.Stage, e.Reply = StageAuth, err.Reply
	}
	return e
}
