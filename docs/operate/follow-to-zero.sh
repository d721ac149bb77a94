#!/bin/sh
# follow-to-zero.sh <admin.json> <issuer> [<seconds between rounds> [<seconds without progress>]]: has the perspectives
# look again at whatever is vouched for from this issuer, until nothing of it is served any more. Says each round; gives
# up when none of those that wait was looked at for so long, ten minutes by default.
set -eu
config=$1
issuer=$2
every=${3:-900}
patience=${4:-600}
while :; do
  ordered=$(mecai-admin campaign order --config "$config" --name "follow $issuer" --vouchers --issuer "$issuer" --rate 600)
  # The first word is the campaign's id.
  id=${ordered%% *}
  before=
  while :; do
    # Not within the condition: what cannot be asked is not zero.
    shown=$(mecai-admin campaign show "$id" --config "$config")
    waiting=$(echo "$shown" | sed -nE 's/^ +([0-9]+) waiting$/\1/p')
    [ -n "$waiting" ] || break
    now=$(date +%s)
    if [ "$waiting" != "$before" ]; then
      before=$waiting
      since=$now
    elif [ $((now - since)) -ge "$patience" ]; then
      echo "campaign $id: $waiting wait, and none was looked at for $patience s; does mecai-campaigns run? Its /readyz says (port 9104)" >&2
      exit 1
    fi
    sleep 2
  done
  summary=$(echo "$shown" | awk '/^ +[0-9]+ [a-z]+$/ { printf "%s%s %s", separator, $1, $2; separator = ", " }')
  echo "$(date -u +%Y-%m-%dT%H:%M:%SZ)  ${summary:-nothing is vouched for}"
  echo "$shown" | grep -Eq '^ +[0-9]+ served$' || break
  sleep "$every"
done
