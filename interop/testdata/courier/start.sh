#!/bin/sh
# Configures Courier in its own root directory, as its packages' scripts and an
# administrator would, and starts its four daemons.
set -eu
cd /etc/courier

echo {{.Name}} >me
printf 'localhost\n%s\ntest.example\n' {{.Name}} >locals
echo test.example >defaultdomain
echo test.example >dsnfrom
echo {{.SizeLimit}} >sizelimit
{
	echo 'badfrom {{.RefusedSender}}'
	echo 'maxrcpts {{.MaxRecipients}} soft'
} >bofh
: >/etc/environment

# Accounts: the login name is the whole address, a local mailbox its local part.
rm -f userdb
umask 077
for user in alice bob carol dave $(cd /home && echo r*); do
	mkdir -p /home/$user/Maildir/cur /home/$user/Maildir/new /home/$user/Maildir/tmp
	chown -R $user:$user /home/$user/Maildir
	printf '%s\tuid=%s|gid=%s|home=/home/%s|mail=/home/%s/Maildir\n' $user $(id -u $user) $(id -g $user) $user $user >>userdb
done
printf '%s\tuid=%s|gid=%s|home=/home/alice|mail=/home/alice/Maildir|systempw=%s|hmac-md5pw=%s\n' \
	{{.User}} $(id -u alice) $(id -g alice) \
	"$(openssl passwd -6 '{{.Password}}')" \
	"$(printf '%s\n%s\n' '{{.Password}}' '{{.Password}}' | userdbpw -hmac-md5 2>/dev/null)" >>userdb
umask 022
makeuserdb

cat key.pem cert.pem >esmtpd.pem
sed -i 's/^authmodulelist=.*/authmodulelist="authuserdb"/' authdaemonrc
sed -i 's/^DEFAULTDELIVERY=.*/DEFAULTDELIVERY=.\/Maildir/' courierd
for file in esmtpd esmtpd-ssl; do
	[ -e $file.dist ] || mv $file $file.dist
	{
		grep -vE '^(ADDRESS|SSLADDRESS|PORT|SSLPORT)=' $file.dist
		cat <<EOF
ADDRESS=127.0.0.1
SSLADDRESS=127.0.0.1
PORT={{.Port}}
SSLPORT={{.TLSPort}}
TCPDOPTS="-stderrlogger=/usr/sbin/courierlogger -noidentlookup -nodnslookup"
NOADDRREWRITE=2
BOFHCHECKDNS=0
BOFHHEADERLIMIT={{.HeaderLimit}}
AUTH_REQUIRED=1
ESMTPAUTH="PLAIN LOGIN CRAM-MD5"
ESMTPAUTH_TLS="PLAIN LOGIN CRAM-MD5"
TARPIT=0
MAXDAEMONS=60
MAXPERC={{.MaxSessions}}
MAXPERIP={{.MaxSessions}}
EOF
	} >$file
done
makealiases

# What the packages' scripts make of modes and owners.
chown courier:courier esmtpd.pem /var/lib/courier /var/lib/courier/*
chmod 600 esmtpd.pem
chmod 770 /var/lib/courier/tmp
chmod 750 /var/lib/courier /var/lib/courier/msgq /var/lib/courier/msgs /var/lib/courier/track
rm -rf /run/courier
mkdir -p /run/courier/authdaemon
chown -R courier:courier /run/courier

authdaemond start
courier start
esmtpd start
esmtpd-ssl start
exec sleep infinity
