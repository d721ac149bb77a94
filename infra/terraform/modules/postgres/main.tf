# The certificate log and the outbox of all coordinators. Two zones; a password of the master user that no state has.

terraform {
  required_version = ">= 1.6.0"
  required_providers {
    aws = { source = "hashicorp/aws", version = ">= 6.0, < 7.0" }
  }
}

variable "name" {
  type    = string
  default = "mecai"
}

variable "vpc_id" {
  type = string
}

variable "subnet_ids" {
  description = "Private subnets in two availability zones or more."
  type        = list(string)

  validation {
    condition     = length(distinct(var.subnet_ids)) >= 2
    error_message = "subnet_ids: two zones at least, or there is nothing to fail over to."
  }
}

variable "client_cidrs" {
  description = "Where coordinators and operators are."
  type        = list(string)
}

variable "instance_class" {
  type    = string
  default = "db.m7g.large"
}

variable "storage_gigabytes" {
  type    = number
  default = 100
}

resource "aws_db_subnet_group" "own" {
  name_prefix = "${var.name}-"
  subnet_ids  = var.subnet_ids
}

resource "aws_security_group" "own" {
  name_prefix = "${var.name}-postgres-"
  description = "Postgres of ${var.name}"
  vpc_id      = var.vpc_id
}

resource "aws_vpc_security_group_ingress_rule" "clients" {
  for_each          = toset(var.client_cidrs)
  security_group_id = aws_security_group.own.id
  ip_protocol       = "tcp"
  from_port         = 5432
  to_port           = 5432
  cidr_ipv4         = each.value
}

resource "aws_db_parameter_group" "own" {
  name_prefix = "${var.name}-"
  family      = "postgres17"
  parameter {
    name  = "rds.force_ssl"
    value = "1"
  }
  # What was answered is on disk, in both zones.
  parameter {
    name  = "synchronous_commit"
    value = "on"
  }
  # A page that changes first after a checkpoint goes whole into the WAL: half as many octets.
  parameter {
    name  = "wal_compression"
    value = "lz4"
  }
}

resource "aws_db_instance" "own" {
  identifier_prefix            = "${var.name}-"
  engine                       = "postgres"
  engine_version               = "17"
  instance_class               = var.instance_class
  allocated_storage            = var.storage_gigabytes
  max_allocated_storage        = 10 * var.storage_gigabytes
  storage_encrypted            = true
  db_name                      = "mecai"
  username                     = "postgres"
  manage_master_user_password  = true
  multi_az                     = true
  db_subnet_group_name         = aws_db_subnet_group.own.name
  parameter_group_name         = aws_db_parameter_group.own.name
  vpc_security_group_ids       = [aws_security_group.own.id]
  backup_retention_period      = 35
  copy_tags_to_snapshot        = true
  deletion_protection          = true
  skip_final_snapshot          = false
  final_snapshot_identifier    = "${var.name}-final"
  auto_minor_version_upgrade   = true
  performance_insights_enabled = true
}

output "url" {
  description = "For the coordinators; the password comes from their secret `database-password`."
  value       = "postgres://mecai@${aws_db_instance.own.endpoint}/mecai?sslmode=verify-full&sslrootcert=/etc/mecai/database-ca.pem"
}

output "master_secret" {
  description = "Where AWS keeps the password of the master user, who makes the user mecai: docs/operate/backup-and-restore.md."
  value       = aws_db_instance.own.master_user_secret[0].secret_arn
}
