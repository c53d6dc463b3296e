package submission_test

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fe022423/submission"
)

// callerKey is the key of a caller's name in a context.
type callerKey struct{}

// as returns the context of a caller.
func as(name string) context.Context {
	return context.WithValue(context.Background(), callerKey{}, name)
}

// account writes down what the hooks of a Trace are told: the time since it began, who
// called, the hook and its arguments. Sessions are numbered as it comes to know them.
type account struct {
	began time.Time

	mu    sync.Mutex
	lines []string
	known map[uint64]submission.SessionInfo
	order []uint64
	sends map[uint64]string // who each send is by
	odd   []string          // what does not agree with what was told before
}

func newAccount() *account {
	return &account{began: time.Now(), known: map[uint64]submission.SessionInfo{}, sends: map[uint64]string{}}
}

// trace returns a Trace with every hook there is. prefix goes in front of their names.
func (a *account) trace(prefix string) *submission.Trace {
	trace := new(submission.Trace)
	v := reflect.ValueOf(trace).Elem()
	for i := range v.NumField() {
		name := prefix + v.Type().Field(i).Name
		v.Field(i).Set(reflect.MakeFunc(v.Field(i).Type(), func(args []reflect.Value) []reflect.Value {
			a.note(name, args)
			return nil
		}))
	}
	return trace
}

func (a *account) note(name string, args []reflect.Value) {
	a.mu.Lock()
	defer a.mu.Unlock()
	line := fmt.Sprint(time.Since(a.began))
	if ctx, ok := args[0].Interface().(context.Context); ok {
		who, _ := ctx.Value(callerKey{}).(string)
		if n, ok := submission.SendNumber(ctx); ok && n != 0 && (a.sends[n] == "" || a.sends[n] == who) {
			a.sends[n] = who
		} else if ok || strings.HasSuffix(name, "Done") && name != "DialDone" && name != "TLSDone" && name != "AuthDone" {
			a.odd = append(a.odd, fmt.Sprintf("%s of %s has send number %d, %v", name, who, n, ok))
		}
		line += " " + cmp.Or(who, "nobody")
		args = args[1:]
	}
	line += " " + name
	for _, arg := range args {
		line += " " + a.text(arg.Interface())
	}
	a.lines = append(a.lines, line)
}

// text is an argument of a hook in a few words.
func (a *account) text(arg any) string {
	switch arg := arg.(type) {
	case nil:
		return "ok"
	case error:
		return kindOf(arg)
	case string:
		return arg
	case submission.Reply:
		return arg.String()
	case submission.Stats:
		return fmt.Sprintf("%d in use, %d waiting", arg.InUse, arg.Waiting)
	case tls.ConnectionState:
		return tls.VersionName(arg.Version)
	case submission.SessionInfo:
		return a.session(arg)
	case submission.SendInfo:
		return a.send(arg)
	}
	return fmt.Sprintf("%T", arg)
}

// kindOf names an error by its type, and one of a send by what became of the message.
func kindOf(err error) string {
	if e, ok := err.(*submission.SendError); ok {
		return fmt.Sprintf("%v at %v", e.Outcome, e.Stage)
	}
	name := fmt.Sprintf("%T", err)
	return name[strings.LastIndexByte(name, '.')+1:]
}

func (a *account) session(s submission.SessionInfo) string {
	if s == (submission.SessionInfo{}) {
		return "none"
	}
	before, ok := a.known[s.ID]
	if !ok {
		a.order = append(a.order, s.ID)
	}
	a.known[s.ID] = s
	if ok && (before.Addr != s.Addr || before.Network != s.Network || !before.Started.Equal(s.Started) || before.Messages > s.Messages) {
		a.odd = append(a.odd, fmt.Sprintf("%+v was %+v before", s, before))
	}
	for i, id := range a.order {
		if id == s.ID {
			return fmt.Sprintf("#%d(%d)", i+1, s.Messages)
		}
	}
	return ""
}

func (a *account) send(i submission.SendInfo) string {
	list := []string{a.session(i.Session)}
	say := func(ok bool, format string, args ...any) {
		if ok {
			list = append(list, fmt.Sprintf(format, args...))
		}
	}
	say(i.Reused, "reused")
	list = append(list, fmt.Sprintf("from %v, %d x, to %d, %d bytes", i.Started.Sub(a.began), i.Attempts, i.Recipients, i.Bytes))
	say(i.Waited != 0, "waited %v", i.Waited)
	say(i.Dialed != 0, "dialed %v", i.Dialed)
	say(i.Envelope != 0, "envelope %v", i.Envelope)
	say(i.Message != 0, "message %v", i.Message)
	say(i.Final != 0, "final %v", i.Final)
	say(i.Result != nil, "sent")
	say(i.Err != nil, "%s", kindOf(i.Err))
	return strings.Join(list, ", ")
}

// byCaller puts what happened at the same time in the order of the callers: those run beside
// each other. An end belongs to who used the session last.
func byCaller(lines []string) string {
	type told struct{ at, who, text string }
	var list []told
	user := map[string]string{}
	for _, line := range lines {
		at, rest, _ := strings.Cut(line, " ")
		who, _, _ := strings.Cut(rest, " ")
		_, after, ok := strings.Cut(rest, "#")
		session, _, _ := strings.Cut(after, "(")
		if who == "Closed" {
			who = user[session]
		} else if ok {
			user[session] = who
		}
		list = append(list, told{at, who, line})
	}
	for from := 0; from < len(list); {
		to := from
		for to < len(list) && list[to].at == list[from].at {
			to++
		}
		slices.SortStableFunc(list[from:to], func(a, b told) int { return cmp.Compare(a.who, b.who) })
		from = to
	}
	var b strings.Builder
	for _, l := range list {
		b.WriteString(l.text + "\n")
	}
	return b.String()
}

// check holds what was told since the last check against want, a line each.
func (a *account) check(t *testing.T, want string) {
	t.Helper()
	synctest.Wait()
	a.mu.Lock()
	defer a.mu.Unlock()
	want = strings.ReplaceAll(strings.TrimSpace(want), "\t", "")
	want = byCaller(strings.Split(want, "\n"))
	if got := byCaller(a.lines); got != want {
		t.Errorf("the hooks were told\n%s\nwant\n%s", got, want)
	}
	for _, text := range a.odd {
		t.Error(text)
	}
	a.lines, a.odd = nil, nil
}

// tale is a Client of a habitServer whose hooks are written down.
type tale struct {
	*submission.Client
	*account
	srv *habitServer
}

// slowAt answers each of some commands, which are separated by blanks, a second late, QUIT
// half a second: goodbyes that run beside the calls have times of their own.
func slowAt(verbs string) func(*habitSession, string, string) *habitAnswer {
	list := strings.Fields(verbs)
	return func(_ *habitSession, verb, _ string) *habitAnswer {
		for _, slow := range list {
			switch {
			case slow == verb && verb == "QUIT":
				time.Sleep(time.Second / 2)
			case slow == verb:
				time.Sleep(time.Second)
			}
		}
		return nil
	}
}

// everything is the commands of a session.
const everything = "CONNECT EHLO AUTH MAIL RCPT DATA MESSAGE RSET NOOP QUIT"

// tell runs a story in a bubble of testing/synctest. The server offers what it is set to
// offer and answers slowly; set changes both.
func tell(t *testing.T, name string, set func(*habitServer, *submission.Options), story func(*testing.T, *tale)) {
	t.Run(name, func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			srv := newHabitServer()
			srv.habit = slowAt(everything)
			a := newAccount()
			c := srv.client(t, func(o *submission.Options) {
				o.Trace = a.trace("")
				if set != nil {
					set(srv, o)
				}
			})
			story(t, &tale{c, a, srv})
			wantClosed(t, c, srv)
		})
	})
}

// send sends message number n for a caller.
func (a *tale) send(who string, n int) error { return sendNumber(as(who), a.Client, n) }

// slowSource is a source that gives its text line by line, a second for each.
func slowSource(lines ...string) io.Reader {
	return readFunc(func(p []byte) (int, error) {
		if len(lines) == 0 {
			return 0, io.EOF
		}
		time.Sleep(time.Second)
		n := copy(p, lines[0])
		lines = lines[1:]
		return n, nil
	})
}
