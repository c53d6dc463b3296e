// Command client is the smallest program that sends with package submission alone.
package main

import (
	"context"
	"log"
	"os"

	"github.com/fe022423/submission"
)

func main() {
	client, err := submission.New("mail.example.org", nil)
	if err == nil {
		_, err = client.SendMessage(context.Background(), os.Stdin)
	}
	log.Println(err)
}
