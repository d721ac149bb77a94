# Sinks with the API: one durable consumer, one ClickHouse. One of them writes and answers, the others are ready to take over.

terraform {
  required_version = ">= 1.6.0"
  required_providers {
    aws = { source = "hashicorp/aws", version = ">= 6.0, < 7.0" }
  }
}

module "machine" {
  source       = "../machine"
  count        = var.machines
  process      = "analytics"
  archive      = var.archive
  secret_store = "aws"
  secrets      = module.instance[count.index].secrets
  files = {
    "/etc/mecai/nats-ca.pem"   = var.nats_ca
    "/etc/mecai/registry.json" = var.registry
    "/etc/mecai/tokens.json"   = jsonencode(var.api_tokens)
  }
  config = merge(
    {
      # The consumer's name, and so the same for all.
      nats     = { servers = var.nats_servers, seedFile = "by the unit", ca = "/etc/mecai/nats-ca.pem", name = "analytics", streamReplicas = 3 }
      registry = "/etc/mecai/registry.json"
      store    = { kind = "server", url = var.clickhouse_url, user = "mecai", passwordFile = "by the unit", cluster = { name = "mecai" } }
      admin    = "0.0.0.0:7480"
      api      = { listen = "0.0.0.0:7481", tokens = "/etc/mecai/tokens.json" }
    },
    var.config,
  )
}

module "instance" {
  source        = "../instance-aws"
  count         = var.machines
  name          = "mecai-analytics-${count.index + 1}"
  vpc_id        = var.vpc_id
  subnet_id     = var.subnet_ids[count.index % length(var.subnet_ids)]
  instance_type = var.instance_type
  user_data     = module.machine[count.index].user_data
  secrets       = ["nats-seed", "clickhouse-password"]
  ingress       = [for port in [7480, 7481] : { port = port, cidr = var.vpc_cidr }]
}

resource "aws_lb" "own" {
  name_prefix                      = "mecai-"
  internal                         = true
  load_balancer_type               = "network"
  subnets                          = var.subnet_ids
  enable_cross_zone_load_balancing = true
}

resource "aws_lb_target_group" "own" {
  name_prefix = "mecai-"
  port        = 7481
  protocol    = "TCP"
  vpc_id      = var.vpc_id
  # Ready is the one that has the store.
  health_check {
    protocol            = "HTTP"
    port                = "7480"
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
  port              = 7481
  protocol          = "TCP"
  default_action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.own.arn
  }
}

output "url" {
  description = "API and dashboard, of whichever answers."
  value       = "http://${aws_lb.own.dns_name}:7481"
}

output "addresses" {
  value = module.instance[*].private_address
}

output "secrets" {
  description = "Where the operator puts their secrets; the seed is the same for all."
  value       = module.instance[*].secrets
}
