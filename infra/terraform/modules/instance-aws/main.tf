# One machine on AWS with a role that may read its own secrets and nothing else, and a security group of its own.

terraform {
  required_version = ">= 1.6.0"
  required_providers {
    aws = { source = "hashicorp/aws", version = ">= 6.0, < 7.0" }
  }
}

# Containers only: the operator puts the values there, so that they are in no state.
resource "aws_secretsmanager_secret" "own" {
  for_each    = toset(var.secrets)
  name_prefix = "${var.name}-${each.key}-"
  description = "${each.key} of ${var.name}"
}

data "aws_iam_policy_document" "assume" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["ec2.amazonaws.com"]
    }
  }
}

data "aws_iam_policy_document" "secrets" {
  statement {
    actions   = ["secretsmanager:GetSecretValue"]
    resources = concat([for secret in aws_secretsmanager_secret.own : secret.arn], var.other_secrets)
  }
}

resource "aws_iam_role" "own" {
  name_prefix        = "${substr(var.name, 0, 30)}-"
  assume_role_policy = data.aws_iam_policy_document.assume.json
}

resource "aws_iam_role_policy" "secrets" {
  count  = length(var.secrets) + length(var.other_secrets) > 0 ? 1 : 0
  role   = aws_iam_role.own.id
  policy = data.aws_iam_policy_document.secrets.json
}

resource "aws_iam_instance_profile" "own" {
  name_prefix = "${substr(var.name, 0, 30)}-"
  role        = aws_iam_role.own.name
}

resource "aws_security_group" "own" {
  name_prefix = "${var.name}-"
  description = var.name
  vpc_id      = var.vpc_id
}

locals {
  ingress = concat(var.ingress, [for cidr in var.ssh.cidrs : { port = 22, cidr = cidr }])
}

resource "aws_vpc_security_group_ingress_rule" "own" {
  count             = length(local.ingress)
  security_group_id = aws_security_group.own.id
  ip_protocol       = "tcp"
  from_port         = local.ingress[count.index].port
  to_port           = local.ingress[count.index].port
  cidr_ipv4         = local.ingress[count.index].cidr
}

resource "aws_vpc_security_group_egress_rule" "own" {
  count             = length(var.egress_cidrs)
  security_group_id = aws_security_group.own.id
  ip_protocol       = "-1"
  cidr_ipv4         = var.egress_cidrs[count.index]
}

data "aws_ami" "debian" {
  most_recent = true
  owners      = ["136693071363"] # Debian's own account
  filter {
    name   = "name"
    values = ["debian-13-amd64-*"]
  }
}

resource "aws_key_pair" "operators" {
  key_name_prefix = "${var.name}-"
  public_key      = var.ssh.public_key
}

resource "aws_instance" "own" {
  ami                    = data.aws_ami.debian.id
  instance_type          = var.instance_type
  subnet_id              = var.subnet_id
  vpc_security_group_ids = concat([aws_security_group.own.id], var.security_groups)
  iam_instance_profile   = aws_iam_instance_profile.own.name
  key_name               = aws_key_pair.operators.key_name
  # 16 KB at most; cloud-init takes it compressed.
  user_data_base64 = base64gzip(var.user_data)

  metadata_options {
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }
  root_block_device {
    encrypted   = true
    volume_size = var.volume_gigabytes
    volume_type = "gp3"
  }
  lifecycle {
    # A newer image, another archive, registry or certificate: reasons to replace it on a day of the operator's choice, one
    # machine of a kind after the other, with -replace. Done by itself it would be all of them at once.
    ignore_changes = [ami, user_data_base64]
  }
  tags = { Name = var.name }
}

resource "aws_eip" "own" {
  count    = var.fixed_public_address ? 1 : 0
  instance = aws_instance.own.id
  domain   = "vpc"
}

output "instance_id" {
  value = aws_instance.own.id
}

output "private_address" {
  value = aws_instance.own.private_ip
}

output "public_address" {
  value = var.fixed_public_address ? aws_eip.own[0].public_ip : null
}

output "public_name" {
  description = "Of its fixed address: the private one for who asks within the network, the public one for all others."
  value       = var.fixed_public_address ? aws_eip.own[0].public_dns : null
}

output "secrets" {
  description = "Where the operator puts the secrets: ARN by name."
  value       = { for name, secret in aws_secretsmanager_secret.own : name => secret.arn }
}
