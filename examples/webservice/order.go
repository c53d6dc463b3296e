package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/mail"
	"unicode/utf8"
)

const (
	maxItems = 1000
	maxName  = 200 // bytes
)

// order is what a customer wants.
type order struct {
	Name  string `json:"name"`
	Email string `json:"email"`
	Items []item `json:"items"`

	to *mail.Address // of Name and Email
}

type item struct {
	Name  string `json:"name"`
	Count int    `json:"count"`
}

// readOrder reads an order from JSON. Its errors may be shown to the customer.
func readOrder(r io.Reader) (*order, error) {
	o := &order{}
	d := json.NewDecoder(r)
	d.DisallowUnknownFields()
	if err := d.Decode(o); err != nil {
		return nil, fmt.Errorf("not an order: %w", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("not an order: there is more after it")
	}
	to, err := mail.ParseAddress(o.Email)
	switch {
	case err != nil || to.Address != o.Email: // with a name, a comment or brackets
		return nil, errors.New("email is not a mail address")
	case !isName(o.Name):
		return nil, errors.New("name is empty or too long")
	case len(o.Items) == 0 || len(o.Items) > maxItems:
		return nil, fmt.Errorf("there must be 1 to %d items", maxItems)
	}
	for i, it := range o.Items {
		if !isName(it.Name) || it.Count < 1 {
			return nil, fmt.Errorf("item %d needs a name and a count of 1 or more", i+1)
		}
	}
	o.to = &mail.Address{Name: o.Name, Address: o.Email}
	return o, nil
}

func isName(s string) bool { return s != "" && len(s) <= maxName && utf8.ValidString(s) }
