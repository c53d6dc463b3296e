package migration

import (
	"fmt"
	"net/mail"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// difference is one thing in which two mails may differ.
type difference struct {
	name  string                   // as docs/migration.md has it
	equal func(mail string) string // makes it the same in all mails
}

var (
	// boundaries comes before those that look for the header sections of parts.
	boundaries = difference{"boundaries", numberBoundaries}
	date       = difference{"Date", replaceDate}
	messageID  = difference{"Message-ID", replaceMessageID}
	order      = difference{"the order of header fields", sortFields}
	folding    = difference{"the folding of header fields", unfold}
)

// normal returns a mail without the differences.
func normal(data []byte, allowed ...difference) string {
	text := string(data)
	for _, d := range allowed {
		text = d.equal(text)
	}
	return text
}

var boundaryParameter = regexp.MustCompile(`(?i)\bboundary="?([^"\r\n;]+)`)

// numberBoundaries numbers the boundaries of a mail in their order: in the parameter, and in
// the lines between parts.
func numberBoundaries(mail string) string {
	for i, m := range boundaryParameter.FindAllStringSubmatch(mail, -1) {
		parameter, line, number := m[0], "\r\n--"+m[1], fmt.Sprint("boundary-", i+1)
		mail = strings.ReplaceAll(mail, parameter, strings.TrimSuffix(parameter, m[1])+number)
		mail = strings.ReplaceAll(mail, line+"\r\n", "\r\n--"+number+"\r\n")
		mail = strings.ReplaceAll(mail, line+"--\r\n", "\r\n--"+number+"--\r\n")
	}
	return mail
}

// replaceDate makes the same of every date.
func replaceDate(text string) string {
	return eachHeader(text, func(fields []string) []string {
		for i, field := range fields {
			value, ok := strings.CutPrefix(field, "Date: ")
			if !ok {
				continue
			}
			if _, err := mail.ParseDate(strings.TrimSpace(value)); err == nil {
				fields[i] = "Date: now\r\n"
			}
		}
		return fields
	})
}

var anyMessageID = regexp.MustCompile(`(?i)^(Message-ID): <[^<>@ ]+@[^<>@ ]+>\r\n$`)

// replaceMessageID makes the same of every identifier of a message.
func replaceMessageID(text string) string {
	return eachHeader(text, func(fields []string) []string {
		for i, field := range fields {
			fields[i] = anyMessageID.ReplaceAllString(field, "$1: <any>\r\n")
		}
		return fields
	})
}

// sortFields sorts the fields of each header section.
func sortFields(text string) string {
	return eachHeader(text, func(fields []string) []string {
		slices.Sort(fields)
		return fields
	})
}

var fold = regexp.MustCompile(`[ \t]*\r\n[ \t]+`)

// unfold puts each field on one line.
func unfold(text string) string {
	return eachHeader(text, func(fields []string) []string {
		for i, field := range fields {
			fields[i] = fold.ReplaceAllString(field, " ")
		}
		return fields
	})
}

// eachHeader changes the fields of the header section of a mail and of its parts.
func eachHeader(text string, change func([]string) []string) string {
	var out strings.Builder
	var fields []string
	header := true
	for line := range strings.Lines(text) {
		switch {
		case header && line == "\r\n":
			out.WriteString(strings.Join(change(fields), "") + line)
			header, fields = false, nil
		case header && strings.HasPrefix(line, " "), header && strings.HasPrefix(line, "\t"):
			fields[len(fields)-1] += line
		case header:
			fields = append(fields, line)
		default:
			out.WriteString(line)
			header = strings.HasPrefix(line, "--boundary-") && !strings.HasSuffix(line, "--\r\n")
		}
	}
	out.WriteString(strings.Join(fields, ""))
	return out.String()
}

// What is not allowed to differ is still seen.
func TestNormal(t *testing.T) {
	const first = "Date: Thu, 26 Nov 2026 07:47:33 +0000\r\nMessage-ID: <1@a.example>\r\nContent-Type: multipart/mixed;\r\n boundary=b0b\r\n\r\n" +
		"--b0b\r\nContent-Type: text/plain\r\nContent-Disposition: inline\r\n\r\nDate: Wed, 25 Nov 2026 08:00:00 +0000\r\nabcd\r\n  efgh\r\n--b0b--\r\nDate: Mon, 23 Nov 2026 08:00:00 +0000\r\n\r\n"
	everything := []difference{boundaries, date, messageID, order, folding}
	tests := []struct {
		name, old, new string
		allowed        []difference
		same           bool
	}{
		{"date", "Date: Thu, 26", "Date: Fri, 27", []difference{date}, true},
		{"date not allowed", "Date: Thu, 26", "Date: Fri, 27", []difference{boundaries, messageID, order, folding}, false},
		{"no date", "Date: Thu, 26", "Date: one, 26", everything, false},
		{"date in the text", "Date: Wed, 25", "Date: Tue, 24", everything, false},
		{"order of the text", "abcd\r\n  efgh\r\n", "  efgh\r\nabcd\r\n", everything, false},
		{"folding of the text", "abcd\r\n  efgh", "abcd efgh", everything, false},
		{"identifier", "<1@a.example>", "<2@b.example>", []difference{messageID}, true},
		{"identifier not allowed", "<1@a.example>", "<2@b.example>", []difference{boundaries, date, order, folding}, false},
		{"no identifier", "<1@a.example>", "1", everything, false},
		{"boundary", "b0b", "xyz", []difference{boundaries}, true},
		{"boundary not allowed", "b0b", "xyz", []difference{date, messageID, order, folding}, false},
		{"boundary of nothing", "--b0b--", "--xyz--", everything, false},
		{"boundary in the text", "abcd", "--b0b-", everything, false},
		{"a field less", "Message-ID: <1@a.example>\r\n", "", []difference{order}, false},
		{"order of a part", "Content-Type: text/plain\r\nContent-Disposition: inline\r\n", "Content-Disposition: inline\r\nContent-Type: text/plain\r\n", []difference{boundaries, order}, true},
		{"order not allowed", "Content-Type: text/plain\r\nContent-Disposition: inline\r\n", "Content-Disposition: inline\r\nContent-Type: text/plain\r\n", []difference{boundaries, date, messageID, folding}, false},
		{"folding", "mixed;\r\n boundary", "mixed; boundary", []difference{folding}, true},
		{"folding not allowed", "mixed;\r\n boundary", "mixed; boundary", []difference{boundaries, date, messageID, order}, false},
		{"value", "text/plain", "text/html", everything, false},
		{"empty line", "abcd\r\n", "abcd\r\n\r\n", everything, false},
		{"date after the end", "Date: Mon, 23", "Date: Sun, 22", everything, false},
		{"end", "--b0b--\r\n", "--b0b--", everything, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			second := strings.ReplaceAll(first, tt.old, tt.new)
			if second == first {
				t.Fatal("nothing differs")
			}
			a, b := normal([]byte(first), tt.allowed...), normal([]byte(second), tt.allowed...)
			if (a == b) != tt.same {
				t.Errorf("the same: %v, want %v:\n%s\n%s", a == b, tt.same, a, b)
			}
		})
	}
}
