package submission

import (
	"errors"
	"slices"
	"testing"
)

// What a later part says of a recipient replaces what was said before, but nothing replaces
// Sent, and silence replaces nothing.
func TestMergeRecipients(t *testing.T) {
	said := func(s RecipientStatus, code int) RecipientResult {
		return RecipientResult{Addr: "x", Status: s, Reply: Reply{Code: code}}
	}
	asked, silent := said(RecipientUnsent, 450), said(RecipientUnsent, 0)
	sent, invalid, uncertain := said(RecipientSent, 250), said(RecipientInvalid, 550), said(RecipientUncertain, 250)
	local, lost := said(RecipientInvalid, 0), said(RecipientUncertain, 0)
	for _, tt := range []struct{ was, says, want RecipientResult }{
		{silent, silent, silent}, {silent, asked, asked}, {silent, sent, sent}, {silent, invalid, invalid}, {silent, local, local}, {silent, uncertain, uncertain}, {silent, lost, lost},
		{asked, silent, asked}, {asked, said(RecipientUnsent, 451), said(RecipientUnsent, 451)}, {asked, sent, sent}, {asked, invalid, invalid}, {asked, uncertain, uncertain}, {asked, lost, lost},
		{sent, silent, sent}, {sent, asked, sent}, {sent, invalid, sent}, {sent, uncertain, sent},
	} {
		all := []RecipientResult{silent, tt.was, silent}
		mergeRecipients(all, []RecipientResult{tt.says}, []int{1})
		if all[1].Status != tt.want.Status || all[1].Reply.Code != tt.want.Reply.Code || all[0].Status != silent.Status || all[2].Status != silent.Status {
			t.Errorf("%v and then %v: %v, want %v", tt.was, tt.says, all, tt.want)
		}
	}
	all := make([]RecipientResult, 5)
	mergeRecipients(all, []RecipientResult{sent, invalid}, []int{4, 1})
	mergeRecipients(all, []RecipientResult{asked, sent}, []int{0, 2})
	var got []RecipientStatus
	for _, r := range all {
		got = append(got, r.Status)
	}
	if want := []RecipientStatus{RecipientUnsent, RecipientInvalid, RecipientSent, RecipientUnsent, RecipientSent}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// The refusals that belong to invalid recipients are found by address and reply, in their
// order; one that the verdict left out is made again.
func TestCauseOfInvalid(t *testing.T) {
	refusal := func(addr string, code int, text string) *AddressError {
		return &AddressError{Addr: addr, Reply: &Reply{Code: code, Lines: []string{text}}}
	}
	res := func(addr string, s RecipientStatus, code int) RecipientResult {
		return RecipientResult{Addr: addr, Status: s, Reply: Reply{Code: code}}
	}
	local := &AddressError{Addr: "b b@x", Err: errors.New("the reason")}
	env := &Envelope{To: To("a@x", "a@x", "a@x", "b b@x", "c@x", "d d@x", "a@x")}
	first, second := refusal("a@x", 550, "first"), refusal("a@x", 550, "second")
	m := newMerged(env)
	m.add([]int{0, 1, 2, 3, 4, 5, 6}, nil, &SendError{
		Err: join(join(refusal("a@x", 450, "later"), first, local), second, errors.New("the end")),
		Recipients: []RecipientResult{
			res("a@x", RecipientUnsent, 450), res("a@x", RecipientInvalid, 550), res("a@x", RecipientUnsent, 0), res("b b@x", RecipientInvalid, 0),
			res("c@x", RecipientInvalid, 553), res("d d@x", RecipientInvalid, 0), res("a@x", RecipientInvalid, 550),
		},
	})
	if m.causes[0] != nil || m.causes[1] != first || m.causes[2] != nil || m.causes[3] != local || m.causes[6] != second {
		t.Errorf("%v", m.causes)
	}
	if e, ok := m.causes[4].(*AddressError); !ok || e.Addr != "c@x" || e.Reply == nil || e.Reply.Code != 553 {
		t.Errorf("%v", m.causes[4])
	}
	if e, ok := m.causes[5].(*AddressError); !ok || e.Addr != "d d@x" || e.Reply != nil || e.Err == nil {
		t.Errorf("%v", m.causes[5])
	}
	// A verdict stays as it was told.
	_, before := m.verdict()
	m.add([]int{0, 2}, nil, &SendError{Recipients: []RecipientResult{res("a@x", RecipientInvalid, 551), res("a@x", RecipientUnsent, 0)}})
	if before.Recipients[0].Status != RecipientUnsent {
		t.Errorf("%v", before.Recipients)
	}
	if _, after := m.verdict(); len(addressErrors(after.Err)) != 5 || after.Recipients[0].Reply.Code != 551 {
		t.Errorf("%v", after)
	}
}
