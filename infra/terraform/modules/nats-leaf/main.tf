# The leaf node of one region: agents there connect to it, and it to the cluster.

terraform {
  required_version = ">= 1.6.0"
  required_providers {
    aws = { source = "hashicorp/aws", version = ">= 6.0, < 7.0" }
  }
}

variable "region_name" {
  description = "For the name of the node."
  type        = string
}

variable "nodes" {
  description = "Output of module nats."
  type        = list(string)
}

variable "vpc_id" {
  type = string
}

variable "subnet_id" {
  type = string
}

variable "zone_id" {
  description = "Route 53 zone of internal names, public."
  type        = string
}

variable "zone_name" {
  type = string
}

variable "agent_cidrs" {
  description = "Where the agents of this region are."
  type        = list(string)
}

variable "instance_type" {
  type    = string
  default = "c7i.large"
}

variable "server" {
  description = "As module nats-config wants it."
  type        = object({ url = string, sha256 = string })
}

variable "ssh" {
  description = "Public key of the operators, OpenSSH, and where they come from."
  type        = object({ public_key = string, cidrs = list(string) })
}

locals {
  # Where the server has them from; a reload takes certificates and users.
  placed  = [for name in local.secrets : ["install", "-D", "-o", "nats", "-g", "nats", "-m", "0400", "/etc/mecai/secrets/${name}", "/etc/nats/${name}"]]
  node    = "leaf-${var.region_name}.${var.zone_name}"
  secrets = ["tls.pem", "tls.key", "ca.pem", "users.conf", "leaf.conf"]
}

module "config" {
  source = "../nats-config"
  name   = "leaf-${var.region_name}"
  nodes  = var.nodes
  server = var.server
  leaf   = true
}

module "secrets" {
  source  = "../secrets-aws"
  machine = "mecai-nats-leaf-${var.region_name}"
  names   = local.secrets
}

module "machine" {
  source  = "../machine"
  process = "nats-server"
  # Its user and unit.
  packages     = ["nats-server"]
  secret_store = "aws"
  secrets      = module.secrets.secrets
  files        = module.config.files
  commands = concat(
    [module.config.install],
    local.placed,
  )
  refreshed = concat(local.placed, [["systemctl", "reload", "nats-server"]])
  drop_in   = module.config.drop_in
}

module "instance" {
  source        = "../instance-aws"
  name          = "mecai-nats-leaf-${var.region_name}"
  ssh           = var.ssh
  vpc_id        = var.vpc_id
  subnet_id     = var.subnet_id
  instance_type = var.instance_type
  user_data     = module.machine.user_data
  secrets       = values(module.secrets.secrets)
  ingress       = [for cidr in var.agent_cidrs : { port = 4222, cidr = cidr }]
}

# Its certificate has this name: clients hold a server against a name, never against an address.
resource "aws_route53_record" "own" {
  zone_id = var.zone_id
  name    = local.node
  type    = "A"
  ttl     = 60
  records = [module.instance.private_address]
}

output "server" {
  description = "First of the NATS servers of this region's agents."
  value       = "nats://${local.node}:4222"
}

output "secrets" {
  value = module.secrets.secrets
}
