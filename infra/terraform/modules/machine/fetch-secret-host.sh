#!/bin/sh
# mecai-fetch-secret <name> <file>: waits until somebody has put the secret there by hand.
set -eu
while [ ! -s "$2" ]; do
  echo "mecai: waiting for $1 in $2" >&2
  sleep 30
done
chmod 600 "$2"
