#!/bin/sh
# backup-audit-log.sh <signer.json> <audit log> <directory>: a signer's audit log, all its segments, in a new folder of
# the directory named after the time. Whole or not at all. The newest seven folders stay there.
set -eu
umask 077
signer=$1
audit=$2
last=$(find "$3" -mindepth 1 -maxdepth 1 -name '????????T??????Z' 2>/dev/null | sort | tail -1)
to=$3/$(date -u +%Y%m%dT%H%M%SZ)
trap 'rm -rf "$to.part"' EXIT
mkdir -p "$to.part"
# The signer may be writing: what follows the last line end was not acknowledged yet. A new segment in between would tear
# the log apart: then once more.
while :; do
  ended=$(ls "$audit".[0-9]* 2>/dev/null || true)
  cp "$audit" "$to.part/audit.jsonl"
  for one in $ended; do
    name=audit.jsonl${one#"$audit"}
    # A segment that has ended does not change: all folders share one copy of it.
    if cmp -s "$one" "$last/$name"; then ln -f "$last/$name" "$to.part/$name"; else cp "$one" "$to.part/$name"; fi
  done
  [ "$ended" = "$(ls "$audit".[0-9]* 2>/dev/null || true)" ] && break
done
MECAI_AUDIT_LOG="$to.part/audit.jsonl" mecai-signer verify-audit-log --config "$signer" >"$to.part/audit.txt"
(cd "$to.part" && sha256sum audit.* >SHA256SUMS && sync audit.* SHA256SUMS)
mv -T "$to.part" "$to"
find "$3" -mindepth 1 -maxdepth 1 -name '????????T??????Z' | sort | head -n -7 | while read -r old; do rm -rf "$old"; done
echo "$to"
