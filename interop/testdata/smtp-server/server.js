// nodemailer's smtp-server. It stores each message as a file: a Delivered-To field
// for each recipient, then the octets as they came.
const fs = require('fs');
const { SMTPServer } = require('{{.Modules}}/smtp-server');
const dir = '{{.Dir}}';
let stored = 0;

const refusal = (code, text) => Object.assign(new Error(text), { responseCode: code });

const options = (secure) => ({
	secure,
	key: fs.readFileSync(`${dir}/key.pem`),
	cert: fs.readFileSync(`${dir}/cert.pem`),
	name: '{{.Name}}',
	banner: '{{.ID}}',
	size: {{.SizeLimit}},
	authMethods: ['PLAIN', 'LOGIN', 'CRAM-MD5'],
	allowInsecureAuth: true,
	disableReverseLookup: true,
	hidePIPELINING: false,
	hideSMTPUTF8: false,
	hideDSN: false,
	hideREQUIRETLS: false,
	hideENHANCEDSTATUSCODES: false,
	maxClients: {{.MaxSessions}},
	socketTimeout: {{.Idle.Milliseconds}},
	closeTimeout: 1000,
	onAuth(auth, session, done) {
		const right = auth.method === 'CRAM-MD5' ? auth.validatePassword('{{.Password}}') : auth.password === '{{.Password}}';
		if (auth.username !== '{{.User}}' || !right) return done(refusal(535, 'wrong user name or password'));
		return done(null, { user: auth.username });
	},
	onMailFrom(address, session, done) {
		done(address.address === '{{.RefusedSender}}' ? refusal(550, 'sender refused') : undefined);
	},
	onRcptTo(address, session, done) {
		if (address.address === '{{.Refused}}') return done(refusal(550, 'no such mailbox'));
		if (address.address === '{{.Later}}') return done(refusal(450, 'mailbox busy'));
		return done();
	},
	onData(stream, session, done) {
		const parts = session.envelope.rcptTo.map((to) => Buffer.from(`Delivered-To: ${to.address}\r\n`));
		stream.on('data', (part) => parts.push(part));
		stream.on('end', () => {
			const message = Buffer.concat(parts);
			if (stream.sizeExceeded) return done(refusal(552, 'message too large'));
			if (message.includes('\r\n{{.RefuseHeader}}: ')) return done(refusal(554, 'message refused'));
			stored++;
			fs.writeFileSync(`${dir}/store/tmp/${process.pid}-${stored}`, message);
			fs.renameSync(`${dir}/store/tmp/${process.pid}-${stored}`, `${dir}/store/new/${process.pid}-${stored}`);
			return done(null, `stored as ${stored}`);
		});
	},
});

for (const [port, secure] of [[{{.Port}}, false], [{{.TLSPort}}, true]]) {
	const server = new SMTPServer(options(secure));
	server.on('error', (error) => {
		console.error(error.message);
		if (error.code === 'EADDRINUSE') process.exit(1);
	});
	server.listen(port, '127.0.0.1');
}
