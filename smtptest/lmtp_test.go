package smtptest

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
)

// A session of LMTP as RFC 2033 has it.
func TestLMTP(t *testing.T) {
	envelope := func(to ...string) []string {
		lines := []string{"> MAIL FROM:<a@b>", "< 250"}
		for _, addr := range to {
			lines = append(lines, "> RCPT TO:<"+addr+">", "< 250")
		}
		return lines
	}
	join := func(parts ...[]string) (all []string) {
		for _, p := range parts {
			all = append(all, p...)
		}
		return all
	}
	for name, tt := range map[string]struct {
		config Config
		lines  []string
		to     []string // of the messages that were recorded
	}{
		"greeting": {lines: []string{"> EHLO x", "< 500", "> HELO x", "< 500", "> MAIL FROM:<a@b>", "< 503 LHLO first", "> LHLO", "< 501", "> LHLO x", "< 250-mail.test.example greets x"}},
		"one":      {lines: join([]string{"> LHLO x", "< 250"}, envelope("c@d"), []string{"> DATA", "< 354", "> x\r\n.", "< 250 2.0.0"}), to: []string{"c@d"}},
		"DATA, one reply each": {
			lines: join([]string{"> LHLO x", "< 250"}, envelope("c@d", "e@f", "c@d"), []string{"> DATA", "< 354", "> x\r\n.", "< 250", "< 250", "< 250", "> NOOP", "< 250 2.0.0 still"}),
			to:    []string{"c@d e@f c@d"}}, // also for an address that was given twice
		"BDAT, one reply each": {
			lines: join([]string{"> LHLO x", "< 250"}, envelope("c@d", "e@f"), []string{"> BDAT 2\r\n", "< 250", "> BDAT 2 LAST\r\n", "< 250", "< 250", "> NOOP", "< 250 2.0.0 still"}),
			to:    []string{"c@d e@f"}},
		"nobody": {lines: []string{"> LHLO x", "< 250", "> MAIL FROM:<a@b>", "< 250", "> RCPT TO:<c>", "< 501", "> DATA", "< 503 5.5.1", "> BDAT 3 LAST\r\na", "< 503 5.5.1", "> NOOP", "< 250"}},
		"too large": {config: Config{Extensions: []string{"SIZE 3"}},
			lines: join([]string{"> LHLO x", "< 250"}, envelope("c@d", "e@f"), []string{"> DATA", "< 354", "> long\r\n.", "< 552", "< 552", "> NOOP", "< 250"})},
		"a last chunk refused": {lines: join([]string{"> LHLO x", "< 250"}, envelope("c@d", "e@f"), []string{"> BDAT 5 LAST\r\na\nb", "< 554", "< 554", "> NOOP", "< 250"})},
		"the Hook answers for each": {
			config: Config{Hook: func(c Command) *Answer {
				if c.Verb == "MESSAGE" && c.Addr == "e@f" {
					return &Answer{Reply: "452 4.2.2 full"}
				}
				return nil
			}},
			lines: join([]string{"> LHLO x", "< 250"}, envelope("c@d", "e@f", "g@h"), []string{"> DATA", "< 354", "> x\r\n.", "< 250", "< 452 4.2.2 full", "< 250"}),
			to:    []string{"c@d g@h"}},
		"refused for all": {
			config: Config{Hook: hook(map[string]Answer{"MESSAGE": {Reply: "550 5.7.1 spam"}})},
			lines:  join([]string{"> LHLO x", "< 250"}, envelope("c@d", "e@f"), []string{"> BDAT 3 LAST\r\na", "< 550", "< 550", "> NOOP", "< 250"})},
		"hung up in the middle": {
			config: Config{Hook: func(c Command) *Answer {
				if c.Verb == "MESSAGE" && c.Addr == "e@f" {
					return &Answer{Close: true}
				}
				return nil
			}},
			lines: join([]string{"> LHLO x", "< 250"}, envelope("c@d", "e@f", "g@h"), []string{"> DATA", "< 354", "> x\r\n.", "< 250", "."}),
			to:    []string{"c@d"}},
	} {
		t.Run(name, func(t *testing.T) {
			config := tt.config
			config.LMTP = true
			s := newServer(t, &config)
			nc := s.Pipe()
			defer nc.Close()
			c := &client{t: t, nc: nc, r: newReader(nc)}
			c.want("220 mail.test.example LMTP")
			dialogue(c, tt.lines...)
			var to []string
			for _, m := range s.Messages() {
				to = append(to, strings.Join(m.To, " "))
				if len(m.RcptParams) != len(m.To) || len(m.ValidSince) != len(m.To) {
					t.Errorf("the lists of %+v differ", m)
				}
			}
			if fmt.Sprint(to) != fmt.Sprint(tt.to) {
				t.Errorf("recorded for %q, want %q", to, tt.to)
			}
		})
	}
}

// A server of SMTP does not know LHLO.
func TestNoLHLO(t *testing.T) {
	dialogue(over(t, newServer(t, nil).Pipe()), "> LHLO x", "< 500", "> EHLO x", "< 250")
}

// The Hook is told whom a command is about.
func TestCommandAddr(t *testing.T) {
	var mu sync.Mutex
	var seen []string
	s := newServer(t, &Config{LMTP: true, Hook: func(c Command) *Answer {
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, c.Verb+" "+c.Addr)
		return nil
	}})
	dialogue(over(t, s.Pipe()), "> LHLO x", "< 250", "> MAIL FROM:<a@b> SIZE=2", "< 250", "> RCPT TO:<c@d> NOTIFY=NEVER", "< 250", "> rcpt to:<\"e f\"@g>", "< 250",
		"> RCPT TO:<not a mailbox>", "< 501", "> DATA", "< 354", "> x\r\n.", "< 250", "< 250")
	mu.Lock()
	defer mu.Unlock()
	want := `CONNECT ,LHLO ,MAIL a@b,RCPT c@d,RCPT "e f"@g,RCPT not a mailbox,DATA ,MESSAGE c@d,MESSAGE "e f"@g`
	if got := strings.Join(seen, ","); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// Where a server listens.
func TestListen(t *testing.T) {
	free := newServer(t, nil)
	fixed := free.Addr()
	free.Close()
	path := t.TempDir() + "/s"
	for name, tt := range map[string]struct {
		config  Config
		network string
		want    string // "" is any
	}{
		"a fixed port":      {Config{Addr: fixed}, "tcp", fixed},
		"a socket":          {Config{Network: "unix", Addr: path}, "unix", path},
		"any socket":        {Config{Network: "unix"}, "unix", ""},
		"tcp by its name":   {Config{Network: "tcp"}, "tcp", ""},
		"LMTP and a socket": {Config{Network: "unix", LMTP: true}, "unix", ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := NewServer(&tt.config)
			defer s.Close()
			if tt.want != "" && s.Addr() != tt.want {
				t.Errorf("it listens on %s, want %s", s.Addr(), tt.want)
			}
			nc := dialNetwork(t, tt.network, s.Addr())
			c := over(t, nc)
			c.do("QUIT", "221")
			c.ended()
			s.Close()
			if tt.network == "unix" {
				if _, err := os.Stat(s.Addr()); !os.IsNotExist(err) {
					t.Errorf("the socket is left: %v", err)
				}
				if _, err := os.Stat(s.folder); s.folder != "" && !os.IsNotExist(err) {
					t.Errorf("the folder is left: %v", err)
				}
			}
		})
	}
}

// Who cannot listen says so.
func TestListenFails(t *testing.T) {
	s := newServer(t, nil)
	for name, config := range map[string]Config{
		"taken":       {Addr: s.Addr()},
		"no folder":   {Network: "unix", Addr: t.TempDir() + "/a/b"},
		"no network":  {Network: "carrier pigeon"},
		"no loopback": {Addr: "nonsense"},
	} {
		func() {
			defer func() {
				if text, ok := recover().(string); !ok || !strings.HasPrefix(text, "smtptest: cannot listen: ") {
					t.Errorf("%s: %v", name, text)
				}
			}()
			NewServer(&config).Close()
		}()
	}
}

// A session over a Unix socket ends abruptly, too.
func TestResetUnixSocket(t *testing.T) {
	s := newServer(t, &Config{Network: "unix", Hook: hook(map[string]Answer{"NOOP": {Close: true, Reset: true}})})
	c := over(t, dialNetwork(t, "unix", s.Addr()))
	c.raw("NOOP\r\n")
	if b, err := c.r.ReadByte(); err == nil {
		t.Errorf("read %q", b)
	}
}
