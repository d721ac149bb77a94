#!/bin/sh
# mecai-fetch-secret <ARN> <file>: from AWS Secrets Manager, with the role of this machine (IMDSv2). Waits until
# somebody has put a value there.
set -eu
umask 077
metadata=http://169.254.169.254/latest
region=$(echo "$1" | cut -d: -f4)
while :; do
  token=$(curl -fsS -X PUT -H 'x-aws-ec2-metadata-token-ttl-seconds: 300' "$metadata/api/token")
  role=$(curl -fsS -H "x-aws-ec2-metadata-token: $token" "$metadata/meta-data/iam/security-credentials/")
  credentials=$(curl -fsS -H "x-aws-ec2-metadata-token: $token" "$metadata/meta-data/iam/security-credentials/$role")
  # Through standard input: arguments are there for every process to read.
  if value=$(
    printf 'user = "%s:%s"\nheader = "x-amz-security-token: %s"\n' \
      "$(echo "$credentials" | jq -r .AccessKeyId)" \
      "$(echo "$credentials" | jq -r .SecretAccessKey)" \
      "$(echo "$credentials" | jq -r .Token)" |
      curl -fsS --config - --aws-sigv4 "aws:amz:$region:secretsmanager" \
        -H 'content-type: application/x-amz-json-1.1' -H 'x-amz-target: secretsmanager.GetSecretValue' \
        --data "{\"SecretId\":\"$1\"}" "https://secretsmanager.$region.amazonaws.com/" | jq -er .SecretString
  ); then break; fi
  sleep 30
done
mkdir -p "$(dirname "$2")"
printf '%s\n' "$value" >"$2.new"
mv "$2.new" "$2"
