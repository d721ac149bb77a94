# Coordinators behind a load balancer that passes TLS through: servers prove their keys to them.

terraform {
  required_version = ">= 1.6.0"
  required_providers {
    aws = { source = "hashicorp/aws", version = ">= 6.0, < 7.0" }
  }
}

locals {
  names = [for i in range(var.machines) : "coordinator-${i + 1}.${var.zone_name}"]
  # The process watches these files.
  placed = [for name in ["svid.pem", "svid.key", "bundle.pem"] : ["install", "-D", "-o", "mecai-coordinator", "-m", "0400", "/etc/mecai/secrets/${name}", "/etc/mecai/svid/${name}"]]
  svid   = { certificate = "/etc/mecai/svid/svid.pem", key = "/etc/mecai/svid/svid.key", ca = "/etc/mecai/svid/bundle.pem" }
}

module "secrets" {
  source  = "../secrets-aws"
  count   = var.machines
  machine = "mecai-coordinator-${count.index + 1}"
  names   = ["nats-seed", "https-key", "database-password", "svid.pem", "svid.key", "bundle.pem"]
}

module "machine" {
  source       = "../machine"
  count        = var.machines
  process      = "coordinator"
  archive      = var.archive
  secret_store = "aws"
  secrets      = module.secrets[count.index].secrets
  files        = merge(var.files, { "/etc/mecai/registry.json" = var.registry, "/etc/mecai/https.pem" = var.https_certificate, "/etc/mecai/nats-ca.pem" = var.nats_ca, "/etc/mecai/database-ca.pem" = var.database_ca })
  commands     = local.placed
  refreshed    = local.placed
  config = merge(
    {
      name      = "coordinator-${count.index + 1}"
      listen    = "0.0.0.0:8443"
      publicUrl = var.public_url
      tls       = { certificate = "/etc/mecai/https.pem", key = "by the unit" }
      admin     = "0.0.0.0:9101"
      operators = {
        listen     = "0.0.0.0:7444"
        tls        = local.svid
        identities = var.operators
      }
      # Longer than the load balancer takes to see that readyz says no.
      lameDuckMs = 15000
      database   = { engine = "postgres", url = var.database_url, passwordFile = "by the unit" }
      nats       = { servers = var.nats_servers, seedFile = "by the unit", ca = "/etc/mecai/nats-ca.pem", streamReplicas = 3 }
      signers = [for signer in var.signers : {
        address = signer.address
        id      = signer.id
        tls     = local.svid
      }]
      registry = "/etc/mecai/registry.json"
      limits = { for name, limit in var.limits : name => {
        perMinute = ceil(limit.perMinute / var.machines)
        burst     = ceil(limit.burst / var.machines)
      } }
      telemetry = var.telemetry
    },
    var.config,
  )
}

module "instance" {
  source        = "../instance-aws"
  count         = var.machines
  name          = "mecai-coordinator-${count.index + 1}"
  ssh           = var.ssh
  vpc_id        = var.vpc_id
  subnet_id     = var.subnet_ids[count.index % length(var.subnet_ids)]
  instance_type = var.instance_type
  user_data     = module.machine[count.index].user_data
  secrets       = values(module.secrets[count.index].secrets)
  ingress = concat(
    [{ port = 8443, cidr = "0.0.0.0/0" }, { port = 9101, cidr = var.vpc_cidr }],
    flatten([for cidr in var.operator_cidrs : [for port in [7444, 9101] : { port = port, cidr = cidr }]]),
  )
}

module "load_balancer" {
  source       = "../load-balancer-aws"
  internal     = false
  vpc_id       = var.vpc_id
  subnet_ids   = var.subnet_ids
  port         = 443
  target_port  = 8443
  readyz_port  = 9101
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

output "dns_name" {
  description = "Target of the public name's record."
  value       = module.load_balancer.dns_name
}

output "addresses" {
  description = "For the signers, who hear nobody else."
  value       = local.names
}

output "secrets" {
  description = "Where the operator puts their secrets."
  value       = module.secrets[*].secrets
}
