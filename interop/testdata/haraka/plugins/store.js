'use strict';
// Refuses what the tests want refused, and stores each message as a file: a
// Delivered-To field for each recipient, then the octets as Haraka has them.
const fs = require('node:fs');
const dir = '{{.Dir}}';
let stored = 0;
let connections = 0;

exports.register = function () {
	for (const hook of ['lookup_rdns', 'connect', 'disconnect', 'ehlo', 'mail', 'rcpt', 'data_post', 'queue', 'queue_outbound']) {
		this.register_hook(hook, `on_${hook}`);
	}
};

exports.on_lookup_rdns = (next) => next(OK, 'localhost'); // without a resolver

exports.on_connect = function (next, connection) {
	connections++;
	if (connections > {{.MaxSessions}}) return next(DENYSOFTDISCONNECT, 'too many connections');
	return next();
};

exports.on_disconnect = function (next) {
	connections--;
	next();
};

exports.on_ehlo = function (next, connection, name) {
	if ({{.Strict}} && name.startsWith('[')) return next(DENY, 'an address literal is not welcome here');
	return next();
};

exports.on_mail = function (next, connection, params) {
	if (params[0].address === '{{.RefusedSender}}') return next(DENY, 'sender refused');
	connection.notes.messages = (connection.notes.messages || 0) + 1;
	if (connection.notes.messages > {{.MaxMessages}}) return next(DENYSOFTDISCONNECT, 'too many messages');
	return next(OK);
};

exports.on_rcpt = function (next, connection, params) {
	const to = params[0].address;
	if (to === '{{.Refused}}') return next(DENY, 'no such mailbox');
	if (to === '{{.Later}}') return next(DENYSOFT, 'mailbox busy');
	if (connection.transaction.rcpt_to.length > {{.MaxRecipients}}) return next(DENYSOFT, 'too many recipients');
	return next(OK);
};

exports.on_data_post = function (next, connection) {
	if (connection.transaction.header.get('{{.RefuseHeader}}')) return next(DENY, 'message refused');
	return next();
};

exports.on_queue = exports.on_queue_outbound = function (next, connection) {
	const name = `${process.pid}-${++stored}`;
	const file = fs.createWriteStream(`${dir}/store/tmp/${name}`);
	for (const to of connection.transaction.rcpt_to) file.write(`Delivered-To: ${to.address}\r\n`);
	file.once('close', () => {
		fs.renameSync(`${dir}/store/tmp/${name}`, `${dir}/store/new/${name}`);
		next(OK, 'stored');
	});
	connection.transaction.message_stream.pipe(file, { line_endings: '\r\n' });
};
