# Signers, each next to its HSM: AWS CloudHSM here, or any PKCS #11 device on a machine of your own (module machine with
# output `config`). A signer has no way out of its subnet but to the HSM and, when it is set up, to what
# `setup_cidrs` names; its unit lets it speak to the coordinators only.

terraform {
  required_version = ">= 1.9.0"
  required_providers {
    aws = { source = "hashicorp/aws", version = ">= 6.0, < 7.0" }
  }
}

locals {
  names = [for i in range(var.machines) : "signer-${i + 1}.${var.zone_name}"]
  # The process watches these files.
  placed = [for name in ["svid.pem", "svid.key", "bundle.pem"] : ["install", "-D", "-o", "mecai-signer", "-m", "0400", "/etc/mecai/secrets/${name}", "/etc/mecai/svid/${name}"]]
  hsm = {
    module = "/opt/cloudhsm/lib/libcloudhsm_pkcs11.so"
    token  = "hsm1"
    # For commands by hand; the unit has its own copy.
    pinFile = "/etc/mecai/secrets/hsm-pin"
  }
  config = merge(
    {
      listen        = "0.0.0.0:7443"
      tls           = { certificate = "/etc/mecai/svid/svid.pem", key = "/etc/mecai/svid/svid.key", ca = "/etc/mecai/svid/bundle.pem" }
      coordinators  = var.coordinators
      operators     = var.operators
      admin         = "0.0.0.0:9103"
      hsm           = merge(local.hsm, { key = "va" }, var.hsm)
      vaCertificate = "/var/lib/mecai-signer/va-chain.pem"
      ownCa         = ["/etc/mecai/own-ca.pem"]
      registry      = "/etc/mecai/registry.json"
      registryKeys  = ["/etc/mecai/registry-key.pem"]
      trustContexts = "/var/lib/mecai-signer/trust"
      auditLog      = "/var/lib/mecai-signer/audit.jsonl"
      quorum        = var.quorum
    },
    var.config,
  )
}

resource "aws_cloudhsm_v2_cluster" "own" {
  hsm_type   = "hsm2m.medium"
  mode       = "FIPS"
  subnet_ids = var.subnet_ids
}

resource "aws_cloudhsm_v2_hsm" "own" {
  count      = var.hsms
  cluster_id = aws_cloudhsm_v2_cluster.own.cluster_id
  subnet_id  = var.subnet_ids[count.index]
}

module "secrets" {
  source  = "../secrets-aws"
  count   = var.machines
  machine = "mecai-signer-${count.index + 1}"
  names   = ["hsm-pin", "hsm-ca.pem", "svid.pem", "svid.key", "bundle.pem"]
}

module "machine" {
  source       = "../machine"
  count        = var.machines
  process      = "signer"
  archive      = var.archive
  secret_store = "aws"
  secrets      = module.secrets[count.index].secrets
  # Each its own key: in one cluster, and maybe of one crypto user, the label tells them apart.
  config = merge(local.config, { hsm = merge(local.hsm, { key = "va-of-signer-${count.index + 1}" }, var.hsm) })
  files = {
    "/etc/mecai/registry.json"    = var.registry
    "/etc/mecai/own-ca.pem"       = var.own_ca
    "/etc/mecai/registry-key.pem" = var.registry_key
  }
  commands = concat(
    local.placed,
    # The client of the HSM, and whom it believes.
    [for words in var.hsm_commands : [for word in words : replace(word, "{hsm}", aws_cloudhsm_v2_hsm.own[0].ip_address)]],
    [["install", "-D", "-m", "0644", "/etc/mecai/secrets/hsm-ca.pem", "/opt/cloudhsm/etc/customerCA.crt"]],
  )
  refreshed = local.placed
  drop_in   = <<-EOT
    [Unit]
    # Not before the key ceremony.
    ConditionPathExists=/var/lib/mecai-signer/va-chain.pem
    [Service]
    IPAddressAllow=${join(" ", concat(var.coordinator_cidrs, var.operator_cidrs, var.monitoring_cidrs, var.hsm_cidrs))}
  EOT
}

module "instance" {
  source          = "../instance-aws"
  count           = var.machines
  name            = "mecai-signer-${count.index + 1}"
  ssh             = var.ssh
  vpc_id          = var.vpc_id
  subnet_id       = var.subnet_ids[count.index % length(var.subnet_ids)]
  instance_type   = var.instance_type
  user_data       = module.machine[count.index].user_data
  secrets         = values(module.secrets[count.index].secrets)
  security_groups = [aws_cloudhsm_v2_cluster.own.security_group_id]
  egress_cidrs    = var.setup_cidrs
  ingress = concat(
    [for cidr in concat(var.coordinator_cidrs, var.operator_cidrs) : { port = 7443, cidr = cidr }],
    [for cidr in concat(var.operator_cidrs, var.monitoring_cidrs) : { port = 9103, cidr = cidr }],
  )
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

output "signers" {
  description = "For the coordinators and mecai-admin."
  value       = [for i in range(var.machines) : { address = "${local.names[i]}:7443", id = "${var.id}-${i + 1}" }]
}

output "config" {
  description = "Configuration of a signer, for one that stands next to a PKCS #11 device elsewhere."
  value       = jsonencode(local.config)
}

output "hsm_cluster" {
  value = aws_cloudhsm_v2_cluster.own.cluster_id
}

output "hsm_addresses" {
  description = "For the client of the HSM, when one was replaced."
  value       = aws_cloudhsm_v2_hsm.own[*].ip_address
}

output "secrets" {
  value = module.secrets[*].secrets
}
