# Sinks with the API: one durable consumer, one ClickHouse. One of them writes and answers, the others are ready to take over.

terraform {
  required_version = ">= 1.6.0"
  required_providers {
    aws = { source = "hashicorp/aws", version = ">= 6.0, < 7.0" }
  }
}

locals {
  names = [for i in range(var.machines) : "analytics-${i + 1}.${var.zone_name}"]
}

module "secrets" {
  source  = "../secrets-aws"
  count   = var.machines
  machine = "mecai-analytics-${count.index + 1}"
  names   = ["nats-seed", "clickhouse-password"]
}

module "machine" {
  source       = "../machine"
  count        = var.machines
  process      = "analytics"
  archive      = var.archive
  secret_store = "aws"
  secrets      = module.secrets[count.index].secrets
  files = merge(
    {
      "/etc/mecai/nats-ca.pem"       = var.nats_ca
      "/etc/mecai/clickhouse-ca.pem" = var.clickhouse_ca
      "/etc/mecai/tokens.json"       = jsonencode(var.api_tokens)
      "/etc/mecai/registry-key.pem"  = var.registry_key
    },
    # Where nobody has signed one yet: without agents, until coordinators tell.
    var.signed_registry == null ? { "/etc/mecai/registry.json" = jsonencode({ version = 1, agents = [] }) } : {
      "/etc/mecai/registry.json"                               = var.signed_registry.registry
      "/etc/mecai/registry.json.sig"                           = var.signed_registry.signature
    },
  )
  config = merge(
    {
      # The consumer's name, and so the same for all.
      nats     = { servers = var.nats_servers, seedFile = "by the unit", ca = "/etc/mecai/nats-ca.pem", name = "analytics", streamReplicas = 3 }
      registry = "/etc/mecai/registry.json"
      # With it sinks follow the signed updates that coordinators tell, and take no others.
      registryKeys = ["/etc/mecai/registry-key.pem"]
      store        = { kind = "server", url = var.clickhouse_url, ca = "/etc/mecai/clickhouse-ca.pem", user = "mecai", passwordFile = "by the unit", cluster = { name = "mecai" } }
      admin        = "0.0.0.0:7480"
      api          = { listen = "0.0.0.0:7481", tokens = "/etc/mecai/tokens.json" }
    },
    var.config,
  )
}

module "instance" {
  source        = "../instance-aws"
  count         = var.machines
  name          = "mecai-analytics-${count.index + 1}"
  ssh           = var.ssh
  vpc_id        = var.vpc_id
  subnet_id     = var.subnet_ids[count.index % length(var.subnet_ids)]
  instance_type = var.instance_type
  user_data     = module.machine[count.index].user_data
  secrets       = values(module.secrets[count.index].secrets)
  ingress       = flatten([for cidr in concat([var.vpc_cidr], var.ssh.cidrs) : [for port in [7480, 7481] : { port = port, cidr = cidr }]])
}

# Ready is the one that has the store.
module "load_balancer" {
  source       = "../load-balancer-aws"
  internal     = true
  vpc_id       = var.vpc_id
  subnet_ids   = var.subnet_ids
  port         = 7481
  target_port  = 7481
  readyz_port  = 7480
  instance_ids = module.instance[*].instance_id
}

# By a name, which stays when a machine is made anew.
resource "aws_route53_record" "own" {
  count   = var.machines
  zone_id = var.zone_id
  name    = local.names[count.index]
  type    = "A"
  ttl     = 60
  records = [module.instance[count.index].private_address]
}

output "url" {
  description = "API and dashboard, of whichever answers."
  value       = "http://${module.load_balancer.dns_name}:7481"
}

output "addresses" {
  value = local.names
}

output "secrets" {
  description = "Where the operator puts their secrets; the seed is the same for all."
  value       = module.secrets[*].secrets
}
