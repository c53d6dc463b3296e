package syntax

import "strings"

// Keywords returns the keywords of a reply to EHLO, in upper case, with their values.
// The reply is its lines with their codes, joined by LF.
func Keywords(reply string) map[string]string {
	offered := map[string]string{}
	_, rest, _ := strings.Cut(reply, "\n")
	for line := range strings.SplitSeq(rest, "\n") {
		if len(line) > len("250-") {
			keyword, value, _ := strings.Cut(line[len("250-"):], " ")
			offered[strings.ToUpper(keyword)] = value
		}
	}
	return offered
}
