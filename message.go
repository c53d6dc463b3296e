package submission

import (
	"net/mail"
	"strings"
)

// ToAddresses makes recipients of addresses as net/mail has them. Their names are left
// out; an address that is nil is passed over.
func ToAddresses(list ...*mail.Address) []Recipient {
	to := make([]Recipient, 0, len(list))
	for _, a := range list {
		if a != nil {
			to = append(to, Recipient{Addr: bareAddress(a)})
		}
	}
	return to
}

// ParseTo makes recipients of a list as it stands in To or Cc of a message (RFC 5322,
// 3.4): "Anna <a@example.net>, b@example.net". The members of groups are taken too. An
// address that is listed twice is so twice. A list of nobody is ErrNoRecipients, one that
// is malformed an *AddressError.
func ParseTo(list string) ([]Recipient, error) {
	if strings.TrimSpace(list) == "" {
		return nil, ErrNoRecipients
	}
	parsed, err := mail.ParseAddressList(list)
	if err != nil {
		return nil, &AddressError{Addr: list, Err: err}
	}
	if len(parsed) == 0 { // a group of nobody
		return nil, ErrNoRecipients
	}
	return ToAddresses(parsed...), nil
}

// bareAddress returns the address as it goes into an envelope: net/mail takes the quotes
// off a local part, which may need them.
func bareAddress(a *mail.Address) string {
	s := (&mail.Address{Address: a.Address}).String()
	return strings.TrimSuffix(strings.TrimPrefix(s, "<"), ">")
}
