#!/bin/sh
# backup-database.sh <postgres URL, or file of SQLite> <directory>: the database, in a new folder of the directory named
# after the time. Whole or not at all. The newest seven folders stay there.
set -eu
umask 077
database=$1
to=$2/$(date -u +%Y%m%dT%H%M%SZ)
trap 'rm -rf "$to.part"' EXIT
mkdir -p "$to.part"
case $database in
  postgres*://*) pg_dump --format=custom --no-owner --file="$to.part/mecai.dump" "$database" ;;
  *) sqlite3 -readonly "$database" ".timeout 10000" "vacuum into '$to.part/mecai.dump'" ;;
esac
(cd "$to.part" && sha256sum mecai.dump >SHA256SUMS && sync mecai.dump SHA256SUMS)
mv -T "$to.part" "$to"
find "$2" -mindepth 1 -maxdepth 1 -name '????????T??????Z' | sort | head -n -7 | while read -r old; do rm -rf "$old"; done
echo "$to"
