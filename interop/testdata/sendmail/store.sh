#!/bin/sh
# The local mailer: one file a message and recipient, as it comes.
file=$$-$(date +%s%N)
{
	printf 'Delivered-To: %s@test.example\n' "$1"
	cat
} >"/store/tmp/$file"
exec mv "/store/tmp/$file" "/store/new/$file"
