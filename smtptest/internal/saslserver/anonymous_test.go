package saslserver

import (
	"strings"
	"testing"
)

func TestAnonymous(t *testing.T) {
	for trace, reply := range map[string]string{
		"sirhc": "235 anonymous", "": "235 anonymous", "sirhc@example.com": "235 anonymous", "日本": "235 anonymous", strings.Repeat("é", 255): "235 anonymous",
		strings.Repeat("é", 256): "501", "a@": "501", "a@b@c d": "501", "a\x00": "501", "\xff": "501", "a\r\nb": "501",
	} {
		want(t, say((&Session{}).New("ANONYMOUS"), trace), reply)
	}
}
