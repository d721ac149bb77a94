# The example with mock providers: what is computed is made up, what is configured is not.

mock_provider "aws" {
  mock_data "aws_availability_zones" {
    defaults = { names = ["eu-central-1a", "eu-central-1b", "eu-central-1c"] }
  }
  mock_data "aws_iam_policy_document" {
    defaults = { json = "{}" }
  }
}

mock_provider "aws" {
  alias = "tokyo"
  mock_data "aws_availability_zones" {
    defaults = { names = ["ap-northeast-1a"] }
  }
  mock_data "aws_iam_policy_document" {
    defaults = { json = "{}" }
  }
}

mock_provider "google" {}

variables {
  operators_key         = "ssh-ed25519 AAAA operators"
  operator_public_cidrs = ["192.0.2.7/32"]
  alertmanagers         = ["alerts.example:9093"]
  setup_cidrs           = ["0.0.0.0/0"]
  hsms                  = 1
  hsm_commands          = [["true"]]
  clickhouse_commands   = [["true"]]
  google_project        = "mecai-example"
  zone_id               = "Z0000000000000"
  https_certificate     = "-----BEGIN CERTIFICATE-----"
  own_ca                = "-----BEGIN CERTIFICATE-----"
  registry_key          = "-----BEGIN PUBLIC KEY-----"
  nats_ca               = "-----BEGIN CERTIFICATE-----"
  clickhouse_ca         = "-----BEGIN CERTIFICATE-----"
  database_ca           = "-----BEGIN CERTIFICATE-----"
  nats_server = {
    url    = "https://releases.example/nats-server-v2.15.1-linux-amd64.tar.gz"
    sha256 = "0000000000000000000000000000000000000000000000000000000000000000"
  }
  archives = { for process in ["probe-agent", "coordinator", "signer", "analytics", "campaigns"] : process => {
    url    = "https://releases.example/mecai-${process}.tar.gz"
    sha256 = "0000000000000000000000000000000000000000000000000000000000000000"
  } }
}

run "plans" {
  command = plan
  assert {
    condition     = length(output.without_key) == 8
    error_message = "Eight perspectives wait for their keys."
  }
}

run "plans_with_a_signed_registry" {
  command = plan
  variables {
    signed_registry = {
      registry  = "{\"version\": 2, \"agents\": []}"
      signature = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=="
    }
  }
  assert {
    condition     = length(output.without_key) == 8
    error_message = "The signed registry is for sinks only."
  }
}

run "plans_with_campaigns" {
  command = plan
  variables {
    campaigns  = true
    api_tokens = [{ name = "campaigns", sha256 = "0000000000000000000000000000000000000000000000000000000000000000", scopes = ["read", "operate"] }]
  }
  assert {
    condition     = length(output.secrets.campaigns) == 1
    error_message = "One machine for campaigns."
  }
}
