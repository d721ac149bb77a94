#!/bin/sh
# restore-drill.sh <postgres URL of a server for it, or sqlite> <directory of the database's backups> <signer.json>
# <directory of a signer's backups> [<sequence>]: restores the newest backup of the database into one of its own, says
# what is in it, checks the newest backup of the audit log, and drops the database. With a sequence, the log has to reach
# that record: the last one that decision records named when the backup was made.
set -eu
server=$1
signer=$3
newest() {
  found=$(find "$1" -mindepth 1 -maxdepth 1 -name '????????T??????Z' | sort | tail -1)
  [ -n "$found" ] || { echo "no backup in $1" >&2; exit 1; }
  (cd "$found" && sha256sum --check --quiet SHA256SUMS >&2)
  echo "$found"
}
dump=$(newest "$2")/mecai.dump
log=$(newest "$4")
if [ "$server" = sqlite ]; then
  [ "$(sqlite3 -readonly "$dump" 'pragma integrity_check')" = ok ]
  for table in $(sqlite3 -readonly "$dump" "select name from sqlite_schema where type = 'table' order by 1"); do
    sqlite3 -readonly -separator ' ' "$dump" "select '$table', count(*) from $table"
  done
else
  name=mecai_drill_$$
  psql --quiet --no-psqlrc --set=ON_ERROR_STOP=1 --command="create database $name" "$server"
  trap 'psql --quiet --no-psqlrc --command="drop database $name" "$server"' EXIT
  # The same server, another database.
  drill=$(echo "$server" | sed -E "s#^(postgres(ql)?://[^/]+)/[^?]*#\1/$name#")
  pg_restore --exit-on-error --single-transaction --no-owner --dbname="$drill" "$dump"
  psql --quiet --no-psqlrc --tuples-only --no-align --field-separator=' ' --set=ON_ERROR_STOP=1 "$drill" --command="
    select table_name, (xpath('/row/n/text()', query_to_xml(format('select count(*) as n from %I', table_name), false, true, '')))[1]
    from information_schema.tables where table_schema = 'public' and table_type = 'BASE TABLE' order by 1"
fi
noted=$(sed -n "s/.*last line's SHA-256 \([0-9a-f]*\).*/\1/p" "$log/audit.txt")
MECAI_AUDIT_LOG="$log/audit.jsonl" mecai-signer verify-audit-log --config "$signer" --noted "$noted" --at-least "${5:-0}"
echo "restored $dump, checked $log"
