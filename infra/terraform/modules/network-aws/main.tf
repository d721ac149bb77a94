# A network in one region: public subnets, one for each availability zone, and, if wanted, private ones that nobody reaches
# from outside. Their way out is a NAT gateway, and to the secret store an endpoint; who may take it, security groups say.

terraform {
  required_version = ">= 1.6.0"
  required_providers {
    aws = { source = "hashicorp/aws", version = ">= 6.0, < 7.0" }
  }
}

variable "name" {
  type = string
}

variable "cidr" {
  description = "A /16."
  type        = string
}

variable "zones" {
  description = "How many availability zones."
  type        = number
  default     = 1
}

variable "private" {
  description = "Whether it has private subnets, with the NAT gateway and the endpoint that they need."
  type        = bool
  default     = false
}

locals {
  private = var.private ? 1 : 0
}

data "aws_availability_zones" "available" {
  state = "available"
}

resource "aws_vpc" "own" {
  cidr_block           = var.cidr
  enable_dns_hostnames = true
  tags                 = { Name = var.name }
}

resource "aws_internet_gateway" "own" {
  vpc_id = aws_vpc.own.id
}

resource "aws_subnet" "public" {
  count                   = var.zones
  vpc_id                  = aws_vpc.own.id
  cidr_block              = cidrsubnet(var.cidr, 8, count.index)
  availability_zone       = data.aws_availability_zones.available.names[count.index]
  map_public_ip_on_launch = true
  tags                    = { Name = "${var.name}-public-${count.index}" }
}

resource "aws_subnet" "private" {
  count             = var.private ? var.zones : 0
  vpc_id            = aws_vpc.own.id
  cidr_block        = cidrsubnet(var.cidr, 8, 128 + count.index)
  availability_zone = data.aws_availability_zones.available.names[count.index]
  tags              = { Name = "${var.name}-private-${count.index}" }
}

resource "aws_route_table" "public" {
  vpc_id = aws_vpc.own.id
}

# Apart from the table, which may have more: the operators' way in.
resource "aws_route" "public" {
  route_table_id         = aws_route_table.public.id
  destination_cidr_block = "0.0.0.0/0"
  gateway_id             = aws_internet_gateway.own.id
}

resource "aws_route_table_association" "public" {
  count          = var.zones
  subnet_id      = aws_subnet.public[count.index].id
  route_table_id = aws_route_table.public.id
}

resource "aws_eip" "nat" {
  count  = local.private
  domain = "vpc"
}

resource "aws_nat_gateway" "own" {
  count         = local.private
  allocation_id = aws_eip.nat[0].allocation_id
  subnet_id     = aws_subnet.public[0].id
  depends_on    = [aws_internet_gateway.own]
}

resource "aws_route_table" "private" {
  count  = local.private
  vpc_id = aws_vpc.own.id
}

resource "aws_route" "private" {
  count                  = local.private
  route_table_id         = aws_route_table.private[0].id
  destination_cidr_block = "0.0.0.0/0"
  nat_gateway_id         = aws_nat_gateway.own[0].id
}

resource "aws_route_table_association" "private" {
  count          = var.private ? var.zones : 0
  subnet_id      = aws_subnet.private[count.index].id
  route_table_id = aws_route_table.private[0].id
}

resource "aws_security_group" "secrets" {
  count       = local.private
  name_prefix = "${var.name}-secrets-"
  description = "Endpoint of the secret store"
  vpc_id      = aws_vpc.own.id
}

resource "aws_vpc_security_group_ingress_rule" "secrets" {
  count             = local.private
  security_group_id = aws_security_group.secrets[0].id
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
  cidr_ipv4         = var.cidr
}

resource "aws_vpc_endpoint" "secrets" {
  count               = local.private
  vpc_id              = aws_vpc.own.id
  service_name        = "com.amazonaws.${aws_vpc.own.region}.secretsmanager"
  vpc_endpoint_type   = "Interface"
  subnet_ids          = aws_subnet.private[*].id
  security_group_ids  = [aws_security_group.secrets[0].id]
  private_dns_enabled = true
}

output "vpc_id" {
  value = aws_vpc.own.id
}

output "cidr" {
  value = var.cidr
}

# Who asks for a subnet gets it with its way out.
output "public_subnets" {
  value      = aws_subnet.public[*].id
  depends_on = [aws_route.public, aws_route_table_association.public]
}

output "private_subnets" {
  value      = aws_subnet.private[*].id
  depends_on = [aws_route.private, aws_route_table_association.private, aws_vpc_endpoint.secrets]
}

output "route_tables" {
  description = "For routes of your own, such as the operators' way in."
  value       = concat([aws_route_table.public.id], aws_route_table.private[*].id)
}
