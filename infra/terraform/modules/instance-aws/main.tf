# One machine on AWS with a role that may read its own secrets and nothing else, and a security group of its own.

terraform {
  required_version = ">= 1.6.0"
  required_providers {
    aws = { source = "hashicorp/aws", version = ">= 6.0, < 7.0" }
  }
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
    resources = var.secrets
  }
}

resource "aws_iam_role" "own" {
  name_prefix        = "${substr(var.name, 0, 30)}-"
  assume_role_policy = data.aws_iam_policy_document.assume.json
}

resource "aws_iam_role_policy" "secrets" {
  count  = length(var.secrets) > 0 ? 1 : 0
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
  by_port = { for one in concat(var.ingress, [for cidr in var.ssh.cidrs : { port = 22, cidr = cidr }]) : one.port => one.cidr... }
  # Under names that stay when another port gets one more: a rule that moves to another's place is made before that one goes,
  # and AWS refuses it.
  ingress = merge([for port, cidrs in local.by_port : { for i, cidr in cidrs : "${port}-${i}" => { port = port, cidr = cidr } }]...)
}

resource "aws_vpc_security_group_ingress_rule" "own" {
  for_each          = local.ingress
  security_group_id = aws_security_group.own.id
  ip_protocol       = "tcp"
  from_port         = each.value.port
  to_port           = each.value.port
  cidr_ipv4         = each.value.cidr
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
    precondition {
      condition     = length(base64gzip(var.user_data)) * 3 / 4 <= 16384
      error_message = "${var.name}: EC2 takes 16,384 octets of user data, and this is more, though compressed. Leave certificates out of the files that the machine does not need, such as all roots of a bundle but one."
    }
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
