#!/bin/sh
# backup.sh <postgres URL, or file of SQLite> <signer.json> <audit log> <directory>: the database and an audit log, all its
# segments, in a new folder of the directory named after the time. Whole or not at all.
set -eu
umask 077
database=$1
signer=$2
audit=$3
to=$4/$(date -u +%Y%m%dT%H%M%SZ)
mkdir -p "$to.part"
case $database in
  postgres*://*) pg_dump --format=custom --no-owner --file="$to.part/mecai.dump" "$database" ;;
  *) sqlite3 -readonly "$database" ".timeout 10000" "vacuum into '$to.part/mecai.dump'" ;;
esac
# The signer may be writing: what follows the last line end was not acknowledged yet. A new segment in between would tear
# the log apart: then once more.
while :; do
  before=$(ls "$audit".[0-9]* 2>/dev/null || true)
  for one in "$audit" $before; do cp "$one" "$to.part/audit.jsonl${one#"$audit"}"; done
  [ "$before" = "$(ls "$audit".[0-9]* 2>/dev/null || true)" ] && break
done
MECAI_AUDIT_LOG="$to.part/audit.jsonl" mecai-signer verify-audit-log --config "$signer" >"$to.part/audit.txt"
(cd "$to.part" && sha256sum mecai.dump audit.* >SHA256SUMS)
mv "$to.part" "$to"
echo "$to"
