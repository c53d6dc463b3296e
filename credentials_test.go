package submission_test

import (
	"context"
	"testing"

	"github.com/fe022423/submission"
)

// Credentials that can never work are an error of New.
func TestCredentialsThatNeverWork(t *testing.T) {
	user := func(s string) submission.Password { return submission.Password{Username: s, Password: "secret word"} }
	pass := func(s string) submission.Password { return submission.Password{Username: "user", Password: s} }
	mechs := func(names ...string) submission.Password {
		return submission.Password{Username: "user", Password: "secret word", Mechanisms: names}
	}
	pointer := pass("secret word\n")
	for name, tt := range map[string]struct {
		auth        submission.Auth
		has, hasNot string
	}{
		"password, LF":         {pass("secret word\n"), "the password ends in a line break", "user name"},
		"password, CR LF":      {pass("secret word\r\n"), "the password ends in a line break", ""},
		"password, CR":         {pass("secret word\r"), "the password ends in a line break", ""},
		"password, a pointer":  {&pointer, "the password ends in a line break", ""},
		"user, LF":             {user("user\n"), "the user name ends in a line break", "password"},
		"token's user, LF":     {submission.OAuth2{Username: "user\n"}, "the user name ends in a line break", ""},
		"no password":          {pass(""), "the password is empty", "line break"},
		"no user":              {user(""), "the user name is empty", ""},
		"a typo":               {mechs("PLIAN"), `Password.Mechanisms|"PLIAN"|PLAIN LOGIN`, ""},
		"several typos":        {mechs("PLIAN", "LOGGIN"), `"PLIAN"|"LOGGIN"`, ""},
		"not for passwords":    {mechs("GSSAPI"), `"GSSAPI"`, ""},
		"an empty list":        {submission.Password{Username: "user", Password: "secret word", Mechanisms: []string{}}, "Password.Mechanisms|allows none", ""},
		"a typo that may pass": {mechs("PLIAN", "login"), "", ""},
		"lower case":           {mechs("plain"), "", ""},
		"a line break within":  {pass("secret\nword"), "", ""},
		"a space":              {pass("secret word "), "", ""},
		"good":                 {pass("secret word"), "", ""},
		"no Password at all":   {submission.External(""), "", ""},
		"a token":              {submission.OAuth2{Username: "user"}, "", ""},
		"none at all":          {nil, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := submission.New(testHost, plainText(withAuth(tt.auth)))
			if tt.has == "" {
				if err != nil {
					t.Fatal(err)
				}
				c.Close()
				return
			}
			if e := wantError[*submission.OptionError](t, err); e.Option != "Auth" {
				t.Errorf("option %q", e.Option)
			}
			wantSays(t, err, append(words(tt.has), "option Auth"), append(words(tt.hasNot), "secret"))
		})
	}
	// What is repeated may be the password, put in the wrong place.
	_, err := submission.New(testHost, plainText(withAuth(mechs("secret word"))))
	wantSays(t, err, []string{"Password.Mechanisms", "***"}, []string{"secret"})
	// Over a connection of one's own as well.
	_, err = submission.NewSession(t.Context(), play(t, "whole", "eof"), testHost, plainText(withAuth(pass("secret word\n"))))
	wantError[*submission.OptionError](t, err)
	wantSays(t, err, []string{"the password ends in a line break"}, nil)
	// Inside an AuthFunc it is only seen at AUTH, and nothing is sent; nor is a token.
	token := submission.OAuth2{Username: "user", Token: func(context.Context, bool) (string, error) { return "secret-token\r\n", nil }}
	for want, auth := range map[string]submission.Auth{"the password": submission.AuthFunc(pass("secret word\n").Mechanism), "the token": token} {
		_, err = submission.NewSession(t.Context(), play(t, "whole", offersAuth("PLAIN XOAUTH2")+quit[1:]), testHost, plainText(withAuthInClear(auth)))
		wantError[*submission.AuthError](t, err)
		wantSays(t, err, []string{want + " ends in a line break"}, []string{"secret"})
	}
}
