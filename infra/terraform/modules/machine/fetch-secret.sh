#!/bin/sh
# mecai-fetch-secret [--once] <what the store calls it> <file>: waits until the store has a value, and puts it there.
# With --once it does not wait, and puts there only what the store did not have the last time: what somebody changed by
# hand since then stays.
set -eu
umask 077
once=
if [ "$1" = --once ]; then
  once=yes
  shift
fi
state=/var/lib/mecai-secrets
last=$state/${2##*/}.sha256
mkdir -p "$state" "${2%/*}"
trap 'rm -f "$2.new"' EXIT
until /usr/local/sbin/mecai-read-secret "$1" >"$2.new" && [ -s "$2.new" ]; do
  echo "mecai: no value of $1 for $2" >&2
  [ -z "$once" ] || exit 1
  sleep 30
done
digest=$(sha256sum <"$2.new")
if [ -n "$once" ]; then
  [ ! -e "$last" ] || [ "$digest" != "$(cat "$last")" ] || exit 0
  echo "mecai: the store has a new value for $2"
  # Before the file: mecai-refresh-secrets tells the process, now or the next time.
  : >"$state/changed"
fi
mv "$2.new" "$2"
echo "$digest" >"$last"
