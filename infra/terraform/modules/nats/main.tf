# Three NATS nodes, one in each availability zone, with JetStream on their own disks.

terraform {
  required_version = ">= 1.6.0"
  required_providers {
    aws = { source = "hashicorp/aws", version = ">= 6.0, < 7.0" }
  }
}

locals {
  # Where the server has them from; a reload takes certificates and users.
  placed  = [for name in local.secrets : ["install", "-D", "-o", "nats", "-g", "nats", "-m", "0400", "/etc/mecai/secrets/${name}", "/etc/nats/${name}"]]
  nodes   = [for i in range(3) : "nats-${i + 1}.${var.zone_name}"]
  secrets = ["tls.pem", "tls.key", "ca.pem", "users.conf"]
}

module "config" {
  source         = "../nats-config"
  count          = 3
  name           = "nats-${count.index + 1}"
  nodes          = local.nodes
  server         = var.server
  max_file_store = var.max_file_store
  # One after the other, with time to come back.
  watch_looks = 12 + 4 * count.index
}

module "secrets" {
  source  = "../secrets-aws"
  count   = 3
  machine = "mecai-nats-${count.index + 1}"
  names   = local.secrets
}

module "machine" {
  source  = "../machine"
  count   = 3
  process = "nats-server"
  # Its user and unit.
  packages     = ["nats-server"]
  secret_store = "aws"
  secrets      = module.secrets[count.index].secrets
  files        = module.config[count.index].files
  commands = concat(
    [module.config[count.index].install],
    local.placed,
    [["install", "-d", "-o", "nats", "-g", "nats", "-m", "0700", "/var/lib/nats"]],
    module.config[count.index].enable,
  )
  refreshed = concat(local.placed, [["systemctl", "reload", "nats-server"]])
  drop_in   = module.config[count.index].drop_in
}

module "instance" {
  source               = "../instance-aws"
  count                = 3
  name                 = "mecai-nats-${count.index + 1}"
  ssh                  = var.ssh
  vpc_id               = var.vpc_id
  subnet_id            = var.subnet_ids[count.index]
  instance_type        = var.instance_type
  user_data            = module.machine[count.index].user_data
  secrets              = values(module.secrets[count.index].secrets)
  volume_gigabytes     = 20 + ceil(var.max_file_store / pow(1024, 3))
  fixed_public_address = true
  # Agents come from everywhere, and are who their nkeys say; routes are between the nodes.
  ingress = concat(
    [for port in [4222, 7422] : { port = port, cidr = "0.0.0.0/0" }],
    [for port in [6222, 8222] : { port = port, cidr = var.vpc_cidr }],
    [for cidr in var.ssh.cidrs : { port = 8222, cidr = cidr }],
  )
}

resource "aws_route53_record" "node" {
  count   = 3
  zone_id = var.zone_id
  name    = local.nodes[count.index]
  # Within the network it leads to the private address, from which routes come; elsewhere to the public one.
  type    = "CNAME"
  ttl     = 60
  records = [module.instance[count.index].public_name]
}

output "nodes" {
  value = local.nodes
}

output "servers" {
  description = "For the configurations of the processes."
  value       = [for node in local.nodes : "nats://${node}:4222"]
}

output "secrets" {
  description = "Where the operator puts certificates and users."
  value       = { for i, node in local.nodes : node => module.secrets[i].secrets }
}
