#!/bin/sh
# Lays out the root file system of the image in $1, from the built project in the working directory.
set -eu
root=$1
node=$(readlink -f node_modules/.bin/node)
mkdir -p "$root/vouchsafe" "$root/etc"
cp -R dist templates LICENSE "$root/vouchsafe/"
cp "$node" "$root/vouchsafe/node"
cp "$(dirname "$node")/../LICENSE" "$root/vouchsafe/LICENSE.node"

# The mounter mounts by these and gives up its other privileges, the CSI driver locks; nothing here has the set-user-ID bit.
programs='mount umount flock unshare setpriv'
mkdir -p "$root/usr/bin"
for program in $programs; do
  cp -L "$(command -v "$program")" "$root/usr/bin/$program"
  chmod 0755 "$root/usr/bin/$program"
done
cp -L /usr/share/doc/mount/copyright "$root/vouchsafe/LICENSE.util-linux" 2>/dev/null \
  || echo 'image.sh: the licence of util-linux is not on this machine' >&2

# Their libraries, where the loader looks for them.
for program in "$node" $(for name in $programs; do command -v "$name"; done); do ldd "$program"; done \
  | grep -o '/[^ )]*' | sort -u | while read -r library; do
  mkdir -p "$root$(dirname "$library")"
  cp -L "$library" "$root$library"
done

echo 'vouchsafe:x:65532:65532::/vouchsafe:/' >"$root/etc/passwd"
echo 'vouchsafe:x:65532:' >"$root/etc/group"
# Names are looked up in /etc/hosts first, as everywhere.
echo 'hosts: files dns' >"$root/etc/nsswitch.conf"
chmod -R go-w "$root"
# The kernel dumps no process whose program its user cannot read: no core file, and no look into it from outside.
chmod 0511 "$root/vouchsafe/node"
