#!/bin/sh
# restore-drill.sh <postgres URL of a server for it, or sqlite> <signer.json> <directory of backups> [<sequence>]: restores
# the newest backup into a database of its own, says what is in it, checks the audit log, and drops the database. With a
# sequence, the log has to reach that record: the last one that decision records named when the backup was made.
set -eu
server=$1
signer=$2
from=$(find "$3" -mindepth 1 -maxdepth 1 -type d ! -name '*.part' | sort | tail -1)
[ -n "$from" ] || { echo "no backup in $3" >&2; exit 1; }
(cd "$from" && sha256sum --check --quiet SHA256SUMS)
if [ "$server" = sqlite ]; then
  [ "$(sqlite3 -readonly "$from/mecai.dump" 'pragma integrity_check')" = ok ]
  for table in $(sqlite3 -readonly "$from/mecai.dump" "select name from sqlite_schema where type = 'table' order by 1"); do
    sqlite3 -readonly -separator ' ' "$from/mecai.dump" "select '$table', count(*) from $table"
  done
else
  name=mecai_drill_$$
  psql --quiet --no-psqlrc --set=ON_ERROR_STOP=1 --command="create database $name" "$server"
  trap 'psql --quiet --no-psqlrc --command="drop database $name" "$server"' EXIT
  # The same server, another database.
  drill=$(echo "$server" | sed -E "s#^(postgres(ql)?://[^/]+)/[^?]*#\1/$name#")
  pg_restore --exit-on-error --single-transaction --no-owner --dbname="$drill" "$from/mecai.dump"
  psql --quiet --no-psqlrc --tuples-only --no-align --field-separator=' ' --set=ON_ERROR_STOP=1 "$drill" --command="
    select table_name, (xpath('/row/n/text()', query_to_xml(format('select count(*) as n from %I', table_name), false, true, '')))[1]
    from information_schema.tables where table_schema = 'public' and table_type = 'BASE TABLE' order by 1"
fi
noted=$(sed -n "s/.*last line's SHA-256 \([0-9a-f]*\).*/\1/p" "$from/audit.txt")
MECAI_AUDIT_LOG="$from/audit.jsonl" mecai-signer verify-audit-log --config "$signer" --noted "$noted" --at-least "${4:-0}"
echo "restored $from"
