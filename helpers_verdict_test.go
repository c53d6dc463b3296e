package submission_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/fe022423/submission"
	"github.com/fe022423/submission/smtptest"
)

// verdict is what a send must come to.
type verdict struct {
	sent      bool // success for everyone
	outcome   submission.Outcome
	stage     submission.Stage
	temporary bool
	code      int // of SendError.Reply; 0: it must be nil
	status    []submission.RecipientStatus
	codes     []int // of the recipients' replies; nil: they are not checked
	is        error // the error wraps it; nil: this is not checked
	protocol  bool  // the error wraps a *ProtocolError
}

// check compares what Send returned with the verdict, and checks what is true of every
// SendError.
func (v verdict) check(t testing.TB, res *submission.Result, err error) {
	t.Helper()
	if v.sent {
		if err != nil || res == nil {
			t.Fatalf("result %v, error %v, want success", res, err)
		}
		v.checkRecipients(t, res.Recipients)
		return
	}
	if err == nil {
		t.Fatalf("success, want %v at %v", v.outcome, v.stage)
	}
	e, ok := err.(*submission.SendError)
	if !ok {
		t.Fatalf("error is a %T, want *SendError: %v", err, err)
	}
	checkErrorText(t, err)
	if e.Outcome != v.outcome || e.Stage != v.stage {
		t.Errorf("%v at %v, want %v at %v: %v", e.Outcome, e.Stage, v.outcome, v.stage, err)
	}
	if e.Temporary() != v.temporary {
		t.Errorf("Temporary is %v, want %v: %v", e.Temporary(), v.temporary, err)
	}
	switch {
	case v.code == 0 && e.Reply != nil:
		t.Errorf("reply %v, want none", e.Reply)
	case v.code != 0 && (e.Reply == nil || e.Reply.Code != v.code):
		t.Errorf("reply %v, want %d", e.Reply, v.code)
	}
	if (res != nil) != (v.outcome == submission.PartlySent) {
		t.Errorf("the result is %v, the outcome %v", res, e.Outcome)
	}
	if v.is != nil && !errors.Is(err, v.is) {
		t.Errorf("the error does not wrap %v: %v", v.is, err)
	}
	var p *submission.ProtocolError
	if errors.As(err, &p) != v.protocol {
		t.Errorf("the error wraps a ProtocolError: %v, want %v: %v", p != nil, v.protocol, err)
	}
	if e.Outcome == submission.Unknown && (e.Stage != submission.StageFinal || e.Temporary()) {
		t.Errorf("Unknown at %v, Temporary %v, want StageFinal and false", e.Stage, e.Temporary())
	}
	v.checkRecipients(t, e.Recipients)
	if t.Failed() {
		t.FailNow()
	}
}

func (v verdict) checkRecipients(t testing.TB, list []submission.RecipientResult) {
	t.Helper()
	var status []submission.RecipientStatus
	var codes []int
	for _, r := range list {
		status = append(status, r.Status)
		codes = append(codes, r.Reply.Code)
	}
	if v.status != nil && !slices.Equal(status, v.status) {
		t.Errorf("recipients are %v, want %v", status, v.status)
	}
	if v.codes != nil && !slices.Equal(codes, v.codes) {
		t.Errorf("replies to RCPT are %v, want %v", codes, v.codes)
	}
}

// send sends memo.
func send(s *submission.Session, env submission.Envelope) (*submission.Result, error) {
	return s.Send(context.Background(), env, strings.NewReader(memo))
}

// mustSend sends memo, which must be accepted.
func mustSend(t testing.TB, s *submission.Session, env submission.Envelope) *submission.Result {
	t.Helper()
	res, err := send(s, env)
	if err != nil {
		t.Fatalf("Send: %v", err)
	}
	return res
}

// mustBeOver checks that a session cannot be used any more.
func mustBeOver(t testing.TB, s *submission.Session) {
	t.Helper()
	if s.Usable() {
		t.Error("the session is still usable")
	}
	if _, err := send(s, memoTo("b@test.example")); !errors.Is(err, submission.ErrClosed) {
		t.Errorf("the next Send returns %v, want ErrClosed", err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
}

// wantError returns the T in err's tree. When there is none, the test fails.
func wantError[T error](t testing.TB, err error) T {
	t.Helper()
	var want T
	if !errors.As(err, &want) {
		t.Fatalf("error %v (%T), want a %T", err, err, want)
	}
	checkErrorText(t, err)
	return want
}

// checkErrorText checks what is true of the text of every error: it is one line without
// control characters, and it names the package once, at the start.
func checkErrorText(t testing.TB, err error) {
	t.Helper()
	text := err.Error()
	if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		t.Errorf("error text with control characters: %q", text)
	}
	if strings.Count(text, "submission: ") != 1 || !strings.HasPrefix(text, "submission: ") {
		t.Errorf("error text %q, want %q at its start and only there", text, "submission: ")
	}
}

// isTemporary reports whether err says that another try later may help.
func isTemporary(err error) bool {
	var t interface{ Temporary() bool }
	return errors.As(err, &t) && t.Temporary()
}

// addressErrors lists every *AddressError in err's tree.
func addressErrors(err error) []*submission.AddressError {
	switch e := err.(type) {
	case nil:
		return nil
	case *submission.AddressError:
		return []*submission.AddressError{e}
	case interface{ Unwrap() []error }:
		var list []*submission.AddressError
		for _, inner := range e.Unwrap() {
			list = append(list, addressErrors(inner)...)
		}
		return list
	}
	return addressErrors(errors.Unwrap(err))
}

// refusal is a handshake that must fail with a *ConnectError.
type refusal struct {
	name      string
	options   *submission.Options // nil is plainText()
	script    string
	stage     submission.Stage
	code      int // of the reply in the error, 0 for none
	temporary bool
	protocol  bool   // the error wraps a *ProtocolError
	is        error  // the error wraps it; nil: this is not checked
	text      string // is part of the error's text
}

// run plays the script in every delivery.
func (r refusal) run(t *testing.T) {
	t.Helper()
	t.Run(r.name, func(t *testing.T) {
		eachDelivery(t, func(t *testing.T, delivery string) {
			r.check(t, play(t, delivery, r.script))
		})
	})
}

// check makes a session over nc, which must fail.
func (r refusal) check(t *testing.T, nc net.Conn) {
	t.Helper()
	o := r.options
	if o == nil {
		o = plainText()
	}
	s, err := submission.NewSession(context.Background(), nc, testHost, o)
	if s != nil {
		t.Error("a session, although there is an error")
	}
	r.checkError(t, err)
}

func (r refusal) checkError(t *testing.T, err error) {
	t.Helper()
	e := wantError[*submission.ConnectError](t, err)
	if e.Stage != r.stage {
		t.Errorf("stage %v, want %v: %v", e.Stage, r.stage, err)
	}
	switch {
	case r.code == 0 && e.Reply != nil:
		t.Errorf("reply %v, want none", e.Reply)
	case r.code != 0 && (e.Reply == nil || e.Reply.Code != r.code):
		t.Errorf("reply %v, want %d", e.Reply, r.code)
	}
	if e.Temporary() != r.temporary {
		t.Errorf("Temporary is %v, want %v: %v", e.Temporary(), r.temporary, err)
	}
	var p *submission.ProtocolError
	if errors.As(err, &p) != r.protocol {
		t.Errorf("the error wraps a ProtocolError: %v, want %v: %v", p != nil, r.protocol, err)
	}
	if p != nil && p.Stage != r.stage {
		t.Errorf("ProtocolError at %v, want %v", p.Stage, r.stage)
	}
	if r.is != nil && !errors.Is(err, r.is) {
		t.Errorf("the error does not wrap %v: %v", r.is, err)
	}
	if !strings.Contains(err.Error(), r.text) {
		t.Errorf("error %q, want %q in it", err, r.text)
	}
}

// authRefusal is an authentication that must fail with an *AuthError.
type authRefusal struct {
	name      string
	auth      submission.Auth // nil is testPassword
	script    string
	mechanism string
	code      int // of the reply in the error, 0 for none
	temporary bool
	protocol  bool
	is        error
	isNot     error
	text      []string // parts of the error's text
}

func (r authRefusal) run(t *testing.T) {
	t.Helper()
	t.Run(r.name, func(t *testing.T) {
		eachDelivery(t, func(t *testing.T, delivery string) {
			auth := r.auth
			if auth == nil {
				auth = testPassword
			}
			s, err := submission.NewSession(context.Background(), play(t, delivery, r.script), testHost, plainText(withAuthInClear(auth)))
			if s != nil {
				t.Error("a session, although there is an error")
			}
			r.checkError(t, err)
		})
	})
}

func (r authRefusal) checkError(t *testing.T, err error) {
	t.Helper()
	e := wantError[*submission.AuthError](t, err)
	if e.Mechanism != r.mechanism {
		t.Errorf("mechanism %q, want %q: %v", e.Mechanism, r.mechanism, err)
	}
	switch {
	case r.code == 0 && e.Reply != nil:
		t.Errorf("reply %v, want none", e.Reply)
	case r.code != 0 && (e.Reply == nil || e.Reply.Code != r.code):
		t.Errorf("reply %v, want %d", e.Reply, r.code)
	}
	if e.Temporary() != r.temporary {
		t.Errorf("Temporary is %v, want %v: %v", e.Temporary(), r.temporary, err)
	}
	var p *submission.ProtocolError
	if errors.As(err, &p) != r.protocol || p != nil && p.Stage != submission.StageAuth {
		t.Errorf("the error wraps the ProtocolError %v, want one: %v", p, r.protocol)
	}
	if r.is != nil && !errors.Is(err, r.is) {
		t.Errorf("the error does not wrap %v: %v", r.is, err)
	}
	if r.isNot != nil && errors.Is(err, r.isNot) {
		t.Errorf("the error wraps %v: %v", r.isNot, err)
	}
	for _, text := range r.text {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("error %q, want %q in it", err, text)
		}
	}
}

const (
	plainMail = "MAIL FROM:<a@test.example>"
	plainRcpt = "RCPT TO:<b@test.example>"
)

// wantLines sends an envelope to a server that refuses the last recipient, in a subtest
// of its own, and wants exactly these MAIL and RCPT lines.
func wantLines(t *testing.T, keywords []string, env submission.Envelope, mail string, rcpts ...string) {
	t.Helper()
	t.Run(strings.Join(append([]string{mail}, rcpts...), ", "), func(t *testing.T) { checkLines(t, keywords, env, mail, rcpts...) })
}

func checkLines(t *testing.T, keywords []string, env submission.Envelope, mail string, rcpts ...string) {
	t.Helper()
	script := greeted(keywords...) + "C: " + mail + "\nS: 250 ok\n"
	for i, r := range rcpts {
		reply := "250 ok"
		if i == len(rcpts)-1 {
			reply = "550 no"
		}
		script += "C: " + r + "\nS: " + reply + "\n"
	}
	s := openSession(t, play(t, "whole", script+"C: QUIT\nS: 221 bye\neof"), plainText())
	defer s.Close()
	_, err := send(s, env)
	verdict{stage: submission.StageRcpt, code: 550}.check(t, nil, err)
}

// wantNothing sends an envelope, in a subtest of its own. It must be refused, and
// nothing may be written.
func wantNothing(t *testing.T, keywords []string, env submission.Envelope) (err error) {
	t.Helper()
	t.Run("refused", func(t *testing.T) { err = checkNothing(t, keywords, env) })
	return err
}

func checkNothing(t *testing.T, keywords []string, env submission.Envelope) error {
	t.Helper()
	defer func() {
		if t.Failed() {
			t.Logf("the envelope: %+v", env)
		}
	}()
	s := openSession(t, play(t, "whole", greeted(keywords...)+"C: QUIT\nS: 221 bye\neof"), plainText())
	defer s.Close()
	res, err := send(s, env)
	e, ok := err.(*submission.SendError)
	if !ok || res != nil {
		t.Fatalf("%v, %v, want a *SendError", res, err)
	}
	checkErrorText(t, err)
	if e.Outcome != submission.NotSent || e.Temporary() || e.Reply != nil || e.Stage != submission.StageMail && e.Stage != submission.StageRcpt {
		t.Errorf("%v at %v, temporary %v, reply %v", e.Outcome, e.Stage, e.Temporary(), e.Reply)
	}
	if !s.Usable() {
		t.Error("the session is lost")
	}
	return err
}

// unnumbered are the lines of the transcript, without the numbers of the sessions.
func unnumbered(srv *smtptest.Server) []string {
	all := srv.Transcript()
	for i, line := range all {
		_, all[i], _ = strings.Cut(line, "] ")
	}
	return all
}

// commands are the command lines of the transcript, and a line for the start of TLS.
func commands(srv *smtptest.Server) []string {
	var said []string
	for _, line := range unnumbered(srv) {
		if c, ok := strings.CutPrefix(line, "C: "); ok {
			said = append(said, c)
		} else if strings.HasPrefix(line, "-- TLS") {
			said = append(said, line)
		}
	}
	return said
}

func wantCommands(t *testing.T, srv *smtptest.Server, want ...string) {
	t.Helper()
	if got := commands(srv); !slices.Equal(got, want) {
		t.Errorf("the client said %q, want %q", got, want)
	}
}

// wantSaid is wantCommands without the line for the start of TLS.
func wantSaid(t *testing.T, srv *smtptest.Server, want ...string) {
	t.Helper()
	got := slices.DeleteFunc(commands(srv), func(line string) bool { return strings.HasPrefix(line, "-- TLS") })
	if !slices.Equal(got, want) {
		t.Errorf("the client said %q, want %q", got, want)
	}
}

// wantOnlyTLS checks that everything that was written, or that was written after a
// STARTTLS command, is TLS records.
func wantOnlyTLS(t *testing.T, wrote []byte) {
	t.Helper()
	if rest := inClear(wrote); len(rest) > 0 {
		t.Errorf("octets in clear text: %q", rest)
	}
}

// inClear returns what was written, from the first octet that is not TLS.
func inClear(wrote []byte) []byte {
	if _, after, ok := bytes.Cut(wrote, []byte("STARTTLS\r\n")); ok {
		wrote = after
	}
	for len(wrote) > 0 {
		if len(wrote) < 5 || wrote[0] < 20 || wrote[0] > 23 || wrote[1] != 3 {
			return wrote
		}
		n := 5 + int(wrote[3])<<8 + int(wrote[4])
		wrote = wrote[min(n, len(wrote)):]
	}
	return nil
}

// The secret of these tests. It is so long that no text holds it by chance, and base64
// turns some of its octets into + and /.
const (
	secretUser = "alice@test.example"
	secretWord = "Zq?>x~Geheim-9~~>?"
)

// secretForms are the forms in which secretWord could appear: as it is, in hex, and in
// the middle of a base64 text, at each of the three places where it may begin.
var secretForms = makeSecretForms(secretWord)

func makeSecretForms(secret string) map[string]string {
	h := hex.EncodeToString([]byte(secret))
	forms := map[string]string{"plain": secret, "quoted": strings.Trim(fmt.Sprintf("%q", secret), `"`), "hex": h, "upper hex": strings.ToUpper(h)}
	for name, enc := range map[string]*base64.Encoding{"base64": base64.RawStdEncoding, "base64url": base64.RawURLEncoding} {
		for shift := range 3 {
			text := enc.EncodeToString([]byte("xx"[:shift] + secret))
			head := (shift*8 + 5) / 6 // characters that depend on the octets before it
			tail := 0
			if (shift+len(secret))%3 != 0 {
				tail = 1 // a character that would depend on octets after it
			}
			forms[fmt.Sprint(name, " at ", shift)] = text[head : len(text)-tail]
		}
	}
	return forms
}

// wantNoSecret checks that text holds no form of secretWord.
func wantNoSecret(t *testing.T, where, text string) {
	t.Helper()
	for form, s := range secretForms {
		if strings.Contains(text, s) {
			t.Errorf("%s shows the secret (%s): %q", where, form, text)
			return
		}
	}
}

// renderings are v as text, in every way that fmt, slog and the encoders offer.
func renderings(v any) map[string]string {
	out := map[string]string{"Sprint": fmt.Sprint(v)}
	for _, verb := range "vsqxdf" {
		for _, flag := range []string{"", "+", "#"} {
			format := "%" + flag + string(verb)
			out[format] = fmt.Sprintf(format, v)
		}
	}
	var text, js bytes.Buffer
	slog.New(slog.NewTextHandler(&text, nil)).Info("m", "v", v, slog.Group("g", "v", v))
	slog.New(slog.NewJSONHandler(&js, nil)).Info("m", "v", v, slog.Group("g", "v", v))
	out["slog text"], out["slog JSON"] = text.String(), js.String()
	if b, err := json.Marshal(v); err == nil {
		out["JSON"] = string(b)
	}
	if b, err := xml.Marshal(v); err == nil {
		out["XML"] = string(b)
	}
	return out
}

// The check for clear text finds it.
func TestOnlyTLSIsSeen(t *testing.T) {
	good := []byte("\x16\x03\x01\x00\x02ab\x17\x03\x03\x00\x00")
	wantOnlyTLS(t, good)
	wantOnlyTLS(t, append([]byte("EHLO x\r\nSTARTTLS\r\n"), good...))
	for _, bad := range [][]byte{[]byte("QUIT\r\n"), append(bytes.Clone(good), "QUIT\r\n"...), []byte("STARTTLS\r\nQUIT\r\n")} {
		if len(inClear(bad)) == 0 {
			t.Errorf("%q passes", bad)
		}
	}
}

func mustWrite(t *testing.T, tx *submission.Transaction, text string) {
	t.Helper()
	if n, err := io.WriteString(tx, text); n != len(text) || err != nil {
		t.Fatalf("Write returns %d, %v", n, err)
	}
}

func mustCommit(t *testing.T, tx *submission.Transaction) *submission.Result {
	t.Helper()
	res, err := tx.Commit()
	if err != nil {
		t.Fatalf("Commit: %v", err)
	}
	return res
}

// wantRunning checks that what async has started has not returned.
func wantRunning(t *testing.T, what string, done <-chan error) {
	t.Helper()
	synctest.Wait()
	select {
	case err := <-done:
		t.Fatalf("%s did not wait: %v", what, err)
	default:
	}
}
