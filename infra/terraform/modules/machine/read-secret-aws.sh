#!/bin/sh
# mecai-read-secret <ARN>: prints a secret from AWS Secrets Manager, with the role of this machine (IMDSv2); fails while
# it has no value.
set -eu
metadata=http://169.254.169.254/latest
region=$(echo "$1" | cut -d: -f4)
token=$(curl -fsS -m 30 -X PUT -H 'x-aws-ec2-metadata-token-ttl-seconds: 300' "$metadata/api/token")
role=$(curl -fsS -m 30 -H "x-aws-ec2-metadata-token: $token" "$metadata/meta-data/iam/security-credentials/")
credentials=$(curl -fsS -m 30 -H "x-aws-ec2-metadata-token: $token" "$metadata/meta-data/iam/security-credentials/$role")
# Through standard input: arguments are there for every process to read.
value=$(
  printf 'user = "%s:%s"\nheader = "x-amz-security-token: %s"\n' \
    "$(echo "$credentials" | jq -r .AccessKeyId)" \
    "$(echo "$credentials" | jq -r .SecretAccessKey)" \
    "$(echo "$credentials" | jq -r .Token)" |
    curl -fsS -m 30 --config - --aws-sigv4 "aws:amz:$region:secretsmanager" \
      -H 'content-type: application/x-amz-json-1.1' -H 'x-amz-target: secretsmanager.GetSecretValue' \
      --data "{\"SecretId\":\"$1\"}" "https://secretsmanager.$region.amazonaws.com/" | jq -er .SecretString
)
# jq 1.6 does not mind to be told nothing.
[ -n "$value" ]
printf '%s\n' "$value"
