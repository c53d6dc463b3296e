package docs

import (
	"maps"
	"slices"
	"strconv"
	"strings"
)

// runner is the test file that runs snippets.
type runner struct {
	imports map[string]bool
	calls   []string
}

// add has the statements of a snippet run as an example, or the tests among its
// declarations.
func (r *runner) add(s snippet, f completed) {
	if r.imports == nil {
		r.imports = map[string]bool{}
	}
	r.imports[strconv.Quote("snippets/"+s.folder())] = true
	name := s.name() + "_" + strconv.Itoa(s.line)
	for _, test := range f.tests {
		r.calls = append(r.calls, "func Test_"+name+"_"+test+"(t *testing.T) { "+s.name()+"."+test+"(t) }\n")
	}
	if s.kind != statements {
		return
	}
	var b strings.Builder
	b.WriteString("func Example_" + name + "() {\n\ts := begin()\n\tdefer s.end()\n")
	b.WriteString("\tif err := " + s.name() + "." + s.function() + "(" + strings.Join(f.args, ", ") + "); err != nil {\n")
	b.WriteString("\t\tfmt.Println(\"returned\", err)\n\t}\n\t// Output:\n")
	for line := range strings.Lines(s.output()) {
		b.WriteString("\t// " + strings.TrimRight(line, "\n") + "\n")
	}
	b.WriteString("}\n")
	r.calls = append(r.calls, b.String())
}

func (r *runner) file() string {
	imports := strings.Join(slices.Sorted(maps.Keys(r.imports)), "\n")
	return strings.Replace(stage, "IMPORTS", imports, 1) + strings.Join(r.calls, "\n")
}

// stage is what the statements that are run play on.
const stage = `package run

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"` + library + `"
	"` + library + `/smtptest"
	IMPORTS
)

var (
	_ testing.TB
	_ = context.Background
	_ = slog.New
	_ = strings.NewReader
)

type playing struct {
	srv     *smtptest.Server
	options *submission.Options
	client  *submission.Client
}

func begin() *playing {
	srv := smtptest.NewServer(&smtptest.Config{Accounts: map[string]string{"shop": "a secret"}})
	options := &submission.Options{
		TLSConfig: srv.ClientTLSConfig(),
		Auth:      submission.Password{Username: "shop", Password: "a secret"},
	}
	client, err := submission.New(srv.Addr(), options)
	if err != nil {
		panic(fmt.Sprint(err))
	}
	return &playing{srv, options, client}
}

func (p *playing) end() {
	p.client.Close()
	p.srv.Close()
}
`
