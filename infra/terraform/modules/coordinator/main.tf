# Coordinators behind a load balancer that passes TLS through: servers prove their keys to them.

terraform {
  required_version = ">= 1.6.0"
  required_providers {
    aws = { source = "hashicorp/aws", version = ">= 6.0, < 7.0" }
  }
}

locals {
  svid = { certificate = "/etc/mecai/svid/svid.pem", key = "/etc/mecai/svid/svid.key", ca = "/etc/mecai/svid/bundle.pem" }
}

module "machine" {
  source       = "../machine"
  count        = var.machines
  process      = "coordinator"
  archive      = var.archive
  secret_store = "aws"
  secrets      = module.instance[count.index].secrets
  files        = merge(var.files, { "/etc/mecai/registry.json" = var.registry, "/etc/mecai/https.pem" = var.https_certificate, "/etc/mecai/nats-ca.pem" = var.nats_ca, "/etc/mecai/database-ca.pem" = var.database_ca })
  commands     = [for name in ["svid.pem", "svid.key", "bundle.pem"] : ["install", "-D", "-o", "mecai-coordinator", "-m", "0400", "/etc/mecai/secrets/${name}", "/etc/mecai/svid/${name}"]]
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
  vpc_id        = var.vpc_id
  subnet_id     = var.subnet_ids[count.index % length(var.subnet_ids)]
  instance_type = var.instance_type
  user_data     = module.machine[count.index].user_data
  secrets       = ["nats-seed", "https-key", "database-password", "svid.pem", "svid.key", "bundle.pem"]
  ingress       = concat([{ port = 8443, cidr = "0.0.0.0/0" }, { port = 9101, cidr = var.vpc_cidr }], [for cidr in var.operator_cidrs : { port = 7444, cidr = cidr }])
}

resource "aws_lb" "own" {
  name_prefix                      = "mecai-"
  load_balancer_type               = "network"
  subnets                          = var.subnet_ids
  enable_cross_zone_load_balancing = true
}

resource "aws_lb_target_group" "own" {
  name_prefix          = "mecai-"
  port                 = 8443
  protocol             = "TCP"
  vpc_id               = var.vpc_id
  deregistration_delay = 60
  # Limits are per requester: its address has to arrive.
  preserve_client_ip = "true"
  health_check {
    protocol            = "HTTP"
    port                = "9101"
    path                = "/readyz"
    interval            = 5
    timeout             = 3
    healthy_threshold   = 2
    unhealthy_threshold = 2
  }
}

resource "aws_lb_target_group_attachment" "own" {
  count            = var.machines
  target_group_arn = aws_lb_target_group.own.arn
  target_id        = module.instance[count.index].instance_id
}

resource "aws_lb_listener" "own" {
  load_balancer_arn = aws_lb.own.arn
  port              = 443
  protocol          = "TCP"
  default_action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.own.arn
  }
}

output "dns_name" {
  description = "Target of the public name's record."
  value       = aws_lb.own.dns_name
}

output "addresses" {
  description = "For the signers, who hear nobody else."
  value       = module.instance[*].private_address
}

output "secrets" {
  description = "Where the operator puts their secrets."
  value       = module.instance[*].secrets
}
