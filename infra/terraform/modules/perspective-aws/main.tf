# A perspective in one region of AWS. The region is the provider's.

terraform {
  required_version = ">= 1.6.0"
  required_providers {
    aws = { source = "hashicorp/aws", version = ">= 6.0, < 7.0" }
  }
}

module "secrets" {
  source  = "../secrets-aws"
  machine = "mecai-${var.name}"
  names   = ["join-token"]
}

module "host" {
  source          = "../perspective-host"
  name            = var.name
  place           = var.place
  nats_servers    = var.nats_servers
  archive         = var.archive
  secret_store    = "aws"
  join_token      = module.secrets.secrets["join-token"]
  coordinator_url = var.coordinator_url
  nats_ca         = var.nats_ca
  files           = var.files
  telemetry       = var.telemetry
  config          = var.config
}

module "instance" {
  source               = "../instance-aws"
  name                 = "mecai-${var.name}"
  ssh                  = var.ssh
  vpc_id               = var.vpc_id
  subnet_id            = var.subnet_id
  instance_type        = var.instance_type
  user_data            = module.host.user_data
  secrets              = values(module.secrets.secrets)
  ingress              = [for cidr in var.monitoring_cidrs : { port = 9102, cidr = cidr }]
  fixed_public_address = true
}

output "perspective" {
  description = "For module quorum-geography, by name."
  value       = module.host.perspective
}

output "address" {
  description = "Where targets see it come from."
  value       = module.instance.public_address
}

output "join_token_secret" {
  description = "Where the operator puts the join token."
  value       = module.secrets.secrets["join-token"]
}
