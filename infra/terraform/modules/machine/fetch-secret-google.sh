#!/bin/sh
# mecai-fetch-secret <projects/…/secrets/…> <file>: from Google Secret Manager, with the service account of this machine.
# Waits until somebody has put a version there.
set -eu
umask 077
account=http://metadata.google.internal/computeMetadata/v1/instance/service-accounts/default
while :; do
  token=$(curl -fsS -H 'metadata-flavor: Google' "$account/token" | jq -er .access_token)
  if value=$(
    printf 'header = "authorization: Bearer %s"\n' "$token" |
      curl -fsS --config - "https://secretmanager.googleapis.com/v1/$1/versions/latest:access" |
      jq -er .payload.data
  ); then break; fi
  sleep 30
done
mkdir -p "$(dirname "$2")"
printf '%s' "$value" | base64 -d >"$2.new"
mv "$2.new" "$2"
