// Command oauth2 sends a message through a server that wants OAuth 2.0 instead of a password, as
// Gmail and Microsoft 365 do: with access tokens that golang.org/x/oauth2 fetches. A token that the
// server refuses, although it should last, is replaced by a new one once (tokens.go).
//
// Without SUBMISSION_URL it sends to a fake server in its own process, with a fake issuer of tokens.
// With a real server, in the folder of this module:
//
//	export SUBMISSION_URL='smtp://smtp.example.org:587' MAIL_USER=me@example.org
//	export OAUTH2_TOKEN_URL=https://login.example.org/token OAUTH2_CLIENT_ID=... OAUTH2_CLIENT_SECRET=... OAUTH2_REFRESH_TOKEN=...
//	go run ./oauth2 message.eml
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/fe022423/submission"
	"golang.org/x/oauth2"
)

func main() {
	if err := run(context.Background(), os.Args[1:], os.Getenv, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "oauth2:", err)
		os.Exit(1)
	}
}

// run sends the file args[0] to all of its To, Cc and Bcc. env returns the variables of the
// environment.
func run(ctx context.Context, args []string, env func(name string) string, out io.Writer) error {
	if env("SUBMISSION_URL") == "" {
		return demonstrate(ctx, out)
	}
	if len(args) != 1 {
		return errors.New("usage: oauth2 message")
	}
	for _, name := range []string{"MAIL_USER", "OAUTH2_TOKEN_URL", "OAUTH2_CLIENT_ID", "OAUTH2_REFRESH_TOKEN"} {
		if env(name) == "" {
			return fmt.Errorf("%s is not set", name)
		}
	}
	source := newTokens(&oauth2.Config{
		ClientID:     env("OAUTH2_CLIENT_ID"),
		ClientSecret: env("OAUTH2_CLIENT_SECRET"),
		Endpoint:     oauth2.Endpoint{TokenURL: env("OAUTH2_TOKEN_URL")},
	}, env("OAUTH2_REFRESH_TOKEN"))

	addr, options, err := submission.ParseURL(env("SUBMISSION_URL"))
	if err != nil {
		return err
	}
	options.Auth = submission.OAuth2{Username: env("MAIL_USER"), Token: source.token}
	client, err := submission.New(addr, options)
	if err != nil {
		return err
	}
	defer client.Close()
	message, err := os.Open(args[0])
	if err != nil {
		return err
	}
	defer message.Close()
	result, err := client.SendMessage(ctx, message)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "The server took %d bytes: %v\n", result.Bytes, result.Reply)
	return nil
}
