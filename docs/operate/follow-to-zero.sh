#!/bin/sh
# follow-to-zero.sh <admin.json> <issuer> [<seconds between rounds>]: has the perspectives look again at whatever is
# vouched for from this issuer, until nothing of it is served any more. Says each round.
set -eu
config=$1
issuer=$2
every=${3:-900}
while :; do
  ordered=$(mecai-admin campaign order --config "$config" --name "follow $issuer" --vouchers --issuer "$issuer" --rate 600)
  # The first word is the campaign's id.
  id=${ordered%% *}
  while :; do
    # Not within the condition: what cannot be asked is not zero.
    shown=$(mecai-admin campaign show "$id" --config "$config")
    echo "$shown" | grep -Eq '^ +[0-9]+ waiting$' || break
    sleep 2
  done
  summary=$(echo "$shown" | awk '/^ +[0-9]+ [a-z]+$/ { printf "%s%s %s", separator, $1, $2; separator = ", " }')
  echo "$(date -u +%Y-%m-%dT%H:%M:%SZ)  ${summary:-nothing is vouched for}"
  echo "$shown" | grep -Eq '^ +[0-9]+ served$' || break
  sleep "$every"
done
