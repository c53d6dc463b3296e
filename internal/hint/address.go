package hint

import (
	"net/mail"
	"strings"

	"github.com/fe022423/submission/internal/address"
	"github.com/fe022423/submission/internal/printable"
)

// longestHinted is the longest text that is taken apart for a hint, in octets. No
// address is longer, with a name and a few others around it.
const longestHinted = 4096

// nullSender is the reverse-path of reports (RFC 5321, 4.5.5).
const nullSender = "<>"

// Address says what was perhaps meant by a text that is not an envelope address:
// "" when it is one, or when nothing else is recognized in it.
func Address(addr string) string {
	if addr == nullSender || len(addr) > longestHinted || isMailbox(address.Bare(addr)) {
		return ""
	}
	list := mailboxesIn(addr)
	switch bare := strings.TrimSpace(addr); {
	case len(list) > 1:
		return "an envelope address has no display name and is only one: " + printable.Text(strings.Join(list, ", ")) +
			"; each has a Recipient of its own (ParseTo)"
	case len(list) == 0:
		return ""
	case list[0] == address.Bare(bare):
		if strings.ContainsAny(addr, "\r\n") {
			return "an envelope address has no line break around it: " + printable.Text(bare)
		}
		return "an envelope address has no display name and no spaces around it: " + printable.Text(bare)
	}
	return "an envelope address has no display name: " + printable.Text(list[0]) + " (ParseTo)"
}

func isMailbox(addr string) bool {
	_, err := address.Parse(addr)
	return err == nil
}

// mailboxesIn returns the envelope addresses in a text of a header field (RFC 5322,
// 3.4), or in a list with other separators; nil when there is anything else in it.
func mailboxesIn(text string) []string {
	var found []string
	if list, err := mail.ParseAddressList(text); err == nil {
		for _, a := range list {
			found = append(found, a.Address)
		}
	} else {
		found = strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(",; \t\r\n", r) })
	}
	for _, a := range found {
		if !isMailbox(a) {
			return nil
		}
	}
	return found
}
