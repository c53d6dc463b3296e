package submission_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// javaMailProperties are the properties for which docs/javamail.md must have a row. They
// begin with mail.smtp. if they do not begin with mail.
var javaMailProperties = []string{
	"host", "port", "user", "auth", "connectiontimeout", "timeout", "writetimeout", "from", "localhost",
	"localaddress", "localport", "ehlo", "auth.mechanisms", "auth.login.disable", "auth.plain.disable",
	"auth.digest-md5.disable", "auth.ntlm.disable", "auth.ntlm.domain", "auth.ntlm.flags", "submitter",
	"dsn.notify", "dsn.ret", "sendpartial", "sasl.enable", "sasl.mechanisms", "sasl.authorizationid",
	"sasl.realm", "quitwait", "reportsuccess", "socketFactory", "socketFactory.class", "socketFactory.port",
	"socketFactory.fallback", "ssl.enable", "ssl.checkserveridentity", "ssl.trust", "ssl.socketFactory",
	"ssl.socketFactory.class", "ssl.socketFactory.port", "ssl.protocols", "ssl.ciphersuites",
	"starttls.enable", "starttls.required", "socks.host", "socks.port", "proxy.host", "proxy.port",
	"proxy.user", "proxy.password", "mailextension", "userset", "noop.strict", "chunksize",
	"auth.xoauth2", "mail.mime.allowutf8",
}

// javaMailClasses are the classes and methods for which it must have a row.
var javaMailClasses = []string{
	"SMTPTransport.connect", "SMTPTransport.sendMessage", "SMTPTransport.close", "SMTPTransport.isConnected",
	"SMTPTransport.getLastServerResponse", "SMTPTransport.getLastReturnCode", "SMTPTransport.supportsExtension",
	"SMTPTransport.getExtensionParameter", "SMTPTransport.issueCommand", "SMTPTransport.simpleCommand",
	"SMTPTransport.connect(Socket)", "TransportListener", "ConnectionListener", "SMTPSSLTransport",
	"SMTPMessage.setEnvelopeFrom", "SMTPMessage.setNotifyOptions", "SMTPMessage.setReturnOption",
	"SMTPMessage.setAllow8bitMIME", "SMTPMessage.setSendPartial", "SMTPMessage.setSubmitter",
	"SMTPMessage.setMailExtension", "SMTPAddressFailedException", "SMTPAddressSucceededException",
	"SMTPSenderFailedException", "SMTPSendFailedException", "SMTPSendFailedException.getValidSentAddresses",
	"SMTPSendFailedException.getValidUnsentAddresses", "SMTPSendFailedException.getInvalidAddresses",
	"AuthenticationFailedException", "MailConnectException", "Authenticator",
}

var (
	quoted   = regexp.MustCompile("`([^`]+)`")
	testName = regexp.MustCompile("`(Test[A-Za-z0-9_]*|Example[A-Za-z0-9_]*)`")
)

// testFunctions are the names of the functions in the tests of this package.
func testFunctions(t *testing.T) map[string]bool {
	t.Helper()
	files, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	names := make(map[string]bool)
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil {
				names[f.Name.Name] = true
			}
		}
	}
	return names
}

// checkProof checks that proof, the last cell of a row or a whole item, names a test, and
// that all the tests and examples in line exist.
func checkProof(t *testing.T, functions map[string]bool, line, proof string) {
	t.Helper()
	if !strings.Contains(proof, "`Test") {
		t.Errorf("a line without a test: %s", line)
	}
	for _, m := range testName.FindAllStringSubmatch(line, -1) {
		if !functions[m[1]] {
			t.Errorf("there is no %s: %s", m[1], line)
		}
	}
}

// docs/javamail.md has a row for everything in the lists above, and the tests that it names
// exist.
func TestJavaMailTable(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("docs", "javamail.md"))
	if err != nil {
		t.Fatal(err)
	}
	functions := testFunctions(t)
	rows := make(map[string][]string) // for each section, the names in the first cells
	items := 0
	section, header := "", false
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "## "):
			section, header = line[3:], true
		case strings.HasPrefix(line, "|---"), strings.HasPrefix(line, "|") && header:
			header = false
		case strings.HasPrefix(line, "|"):
			cells := strings.Split(strings.Trim(line, "|"), "|")
			if len(cells) != 4 {
				t.Errorf("%d cells: %s", len(cells), line)
				continue
			}
			for _, m := range quoted.FindAllStringSubmatch(cells[0], -1) {
				rows[section] = append(rows[section], m[1])
			}
			checkProof(t, functions, line, cells[3])
		case strings.HasPrefix(line, "- ") && section == "Defects not rebuilt":
			items++
			checkProof(t, functions, line, line)
		}
	}
	for section, names := range map[string][]string{"Properties": javaMailProperties, "Classes": javaMailClasses} {
		for _, name := range names {
			if !slices.Contains(rows[section], name) {
				t.Errorf("%s: no row for %s", section, name)
			}
		}
	}
	if items < 18 {
		t.Errorf("%d defects are listed", items)
	}
}
