# aiosmtpd. It stores each message as a file: a Delivered-To field for each
# recipient, then the octets as they came.
import asyncio
import logging
import os
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

DIR = "{{.Dir}}"
logging.basicConfig(stream=sys.stderr, level=logging.WARNING)


class Store:
    stored = 0

    async def handle_MAIL(self, server, session, envelope, address, options):
        if address == "{{.RefusedSender}}":
            return "550 5.7.1 sender refused"
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 OK"

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address == "{{.Refused}}":
            return "550 5.1.1 no such mailbox"
        if address == "{{.Later}}":
            return "450 4.2.1 mailbox busy"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        if b"\r\n{{.RefuseHeader}}: " in envelope.original_content:
            return "554 5.7.1 message refused"
        Store.stored += 1
        name = "%d-%d" % (os.getpid(), Store.stored)
        with open(f"{DIR}/store/tmp/{name}", "wb") as f:
            for to in envelope.rcpt_tos:
                f.write(f"Delivered-To: {to}\r\n".encode())
            f.write(envelope.original_content)
        os.rename(f"{DIR}/store/tmp/{name}", f"{DIR}/store/new/{name}")
        return f"250 OK stored as {name}"


def authenticate(server, session, envelope, mechanism, data):
    right = isinstance(data, LoginPassword) and data.login == b"{{.User}}" and data.password == b"{{.Password}}"
    return AuthResult(success=right, handled=False)


async def main():
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(f"{DIR}/cert.pem", f"{DIR}/key.pem")
    options = dict(
        hostname="{{.Name}}",
        ident="{{.ID}}",
        data_size_limit={{.SizeLimit}},
        enable_SMTPUTF8=True,
        timeout={{.Idle.Seconds}},
        authenticator=authenticate,
        auth_required=True,
        auth_require_tls=False,
    )
    loop = asyncio.get_running_loop()
    clear = lambda: SMTP(Store(), tls_context=tls, **options)
    secure = lambda: SMTP(Store(), **options)
    await loop.create_server(clear, "127.0.0.1", {{.Port}})
    await loop.create_server(secure, "127.0.0.1", {{.TLSPort}}, ssl=tls)
    await asyncio.Event().wait()


asyncio.run(main())
