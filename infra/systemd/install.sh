#!/bin/sh
# Installs the archive that it lies in, beside versions that are there already, and makes it the current one.
# Old versions stay in /opt/mecai for the way back; configuration and secrets are never touched.
# DESTDIR=<directory> installs below it and tells systemd nothing.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
read -r name version <"$here/NAME"
"$here/runtime/node" --version >/dev/null || {
  echo "Node does not run here; on Debian: apt-get install libatomic1 libstdc++6" >&2
  exit 1
}
root=${DESTDIR:-}
to=$root/opt/mecai/$name-$version
mkdir -p "$root/opt/mecai" "$root/etc/mecai" "$root/usr/local/bin"
if [ ! -d "$to" ]; then
  # Whole or not at all: a copy that was cut off is not the version.
  rm -rf "$to.part"
  cp -R "$here" "$to.part"
  mv "$to.part" "$to"
fi
ln -sfn "$name-$version" "$root/opt/mecai/$name.new"
mv -T "$root/opt/mecai/$name.new" "$root/opt/mecai/$name"
for program in "$to"/bin/*; do
  ln -sf "/opt/mecai/$name/bin/${program##*/}" "$root/usr/local/bin/${program##*/}"
done
for folder in systemd:/etc/systemd/system sysusers.d:/usr/lib/sysusers.d tmpfiles.d:/usr/lib/tmpfiles.d; do
  [ -d "$to/${folder%%:*}" ] || continue
  mkdir -p "$root${folder#*:}"
  cp "$to/${folder%%:*}"/* "$root${folder#*:}/"
done
[ -z "$root" ] || exit 0
[ ! -d "$to/sysusers.d" ] || systemd-sysusers "mecai-$name.conf"
[ ! -d "$to/tmpfiles.d" ] || systemd-tmpfiles --create "mecai-$name.conf"
systemctl daemon-reload
echo "mecai-$name $version is installed; systemctl restart mecai-$name starts it"
