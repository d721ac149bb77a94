#!/bin/sh
# nats-watch.sh <monitoring URL> <command…>: looks every 5 s (NATS_WATCH_EVERY) whether this node of the cluster is
# current. At the 12th look in a row (NATS_WATCH_LOOKS: another number for each node, or all would go at once) at which
# it is not, though it sees another node, or at which it says nothing at all, it runs the command, which restarts the
# node; after that it waits twice as long, and so on up to an hour, until the node has been current: who catches up
# gets the time. A node that sees nobody is cut off, and no restart mends that.
set -eu
url=$1
shift
every=${NATS_WATCH_EVERY:-5}
first=${NATS_WATCH_LOOKS:-12}
patience=$first
looks=0
while sleep "$every"; do
  health=$(curl -sS -m 5 "$url/healthz" 2>&1 | tr -d '\n') || true
  case $health in
    *'"status":"ok"'* | *'"status": "ok"'*)
      patience=$first
      looks=0
      continue
      ;;
  esac
  looks=$((looks + 1))
  [ "$looks" -ge "$patience" ] || continue
  if routes=$(curl -sS -m 5 "$url/routez" 2>/dev/null); then
    case $routes in
      *'"remote_id"'*) ;;
      *) continue ;;
    esac
  fi
  echo "restart after $looks looks, $every s apart: $health"
  "$@" || echo "failed: $*"
  patience=$((patience < 360 ? patience * 2 : 720))
  looks=0
done
