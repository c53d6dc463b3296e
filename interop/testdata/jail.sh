#!/bin/sh
# jail.sh ROOT PACKAGE COMMAND...
#
# Runs the command in the root directory ROOT: /usr is the machine's with the files
# of PACKAGE on top, read-only; everything else is what lies in ROOT. It must be
# started in a mount namespace of its own, with which the mounts vanish.
set -eu
root=$1 package=$2
shift 2
mount -t overlay -o "ro,lowerdir=$package/usr:/usr" overlay "$root/usr"
mount -t proc proc "$root/proc"
for device in null zero full random urandom; do
	: >"$root/dev/$device"
	mount --bind "/dev/$device" "$root/dev/$device"
done
exec chroot "$root" "$@"
