# A load balancer that passes TCP through to whichever machine says on /readyz that it is ready.

terraform {
  required_version = ">= 1.6.0"
  required_providers {
    aws = { source = "hashicorp/aws", version = ">= 6.0, < 7.0" }
  }
}

variable "internal" {
  description = "Whether it is reached from the network only."
  type        = bool
}

variable "vpc_id" {
  type = string
}

variable "subnet_ids" {
  type = list(string)
}

variable "port" {
  description = "Where it listens."
  type        = number
}

variable "target_port" {
  description = "Where the machines listen."
  type        = number
}

variable "readyz_port" {
  description = "Where they say whether they are ready."
  type        = number
}

variable "instance_ids" {
  type = list(string)
}

resource "aws_lb" "own" {
  name_prefix                      = "mecai-"
  internal                         = var.internal
  load_balancer_type               = "network"
  subnets                          = var.subnet_ids
  enable_cross_zone_load_balancing = true
}

resource "aws_lb_target_group" "own" {
  name_prefix          = "mecai-"
  port                 = var.target_port
  protocol             = "TCP"
  vpc_id               = var.vpc_id
  deregistration_delay = 60
  # Limits are per requester: its address has to arrive.
  preserve_client_ip = "true"
  health_check {
    protocol            = "HTTP"
    port                = tostring(var.readyz_port)
    path                = "/readyz"
    interval            = 5
    timeout             = 3
    healthy_threshold   = 2
    unhealthy_threshold = 2
  }
}

resource "aws_lb_target_group_attachment" "own" {
  count            = length(var.instance_ids)
  target_group_arn = aws_lb_target_group.own.arn
  target_id        = var.instance_ids[count.index]
}

resource "aws_lb_listener" "own" {
  load_balancer_arn = aws_lb.own.arn
  port              = var.port
  protocol          = "TCP"
  default_action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.own.arn
  }
}

output "dns_name" {
  value = aws_lb.own.dns_name
}
