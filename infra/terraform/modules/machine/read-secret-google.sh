#!/bin/sh
# mecai-read-secret <projects/…/secrets/…>: prints a secret from Google Secret Manager, with the service account of this
# machine; fails while it has no version.
set -eu
account=http://metadata.google.internal/computeMetadata/v1/instance/service-accounts/default
token=$(curl -fsS -m 30 -H 'metadata-flavor: Google' "$account/token" | jq -er .access_token)
value=$(
  printf 'header = "authorization: Bearer %s"\n' "$token" |
    curl -fsS -m 30 --config - "https://secretmanager.googleapis.com/v1/$1/versions/latest:access" |
    jq -er .payload.data
)
# jq 1.6 does not mind to be told nothing.
[ -n "$value" ]
printf '%s' "$value" | base64 -d
