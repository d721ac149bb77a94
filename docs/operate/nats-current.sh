#!/bin/sh
# nats-current.sh <monitoring URL>…: says of each node of the cluster whether it answers, sees all others, and has
# everything that its streams have. Fails unless all do: then no other node may go.
set -eu
others=$(($# - 1))
bad=0
for url in "$@"; do
  health=$(curl -sS -m 5 "$url/healthz" 2>&1 | tr -d '\n') || true
  seen=$(curl -sS -m 5 "$url/routez" 2>/dev/null | grep -o '"remote_id": *"[^"]*"' | sort -u | wc -l) || true
  case $health in
    *'"status":"ok"'* | *'"status": "ok"'*) state=current ;;
    *) state="not current: $health" ;;
  esac
  [ "$state" = current ] && [ "$seen" -eq "$others" ] || bad=1
  echo "$url  sees $seen of $others others, $state"
done
exit "$bad"
