# A network in one region: public subnets, one for each availability zone, and private ones without a way out.

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
  count             = var.zones
  vpc_id            = aws_vpc.own.id
  cidr_block        = cidrsubnet(var.cidr, 8, 128 + count.index)
  availability_zone = data.aws_availability_zones.available.names[count.index]
  tags              = { Name = "${var.name}-private-${count.index}" }
}

resource "aws_route_table" "public" {
  vpc_id = aws_vpc.own.id
  route {
    cidr_block = "0.0.0.0/0"
    gateway_id = aws_internet_gateway.own.id
  }
}

resource "aws_route_table_association" "public" {
  count          = var.zones
  subnet_id      = aws_subnet.public[count.index].id
  route_table_id = aws_route_table.public.id
}

output "vpc_id" {
  value = aws_vpc.own.id
}

output "cidr" {
  value = var.cidr
}

output "public_subnets" {
  value = aws_subnet.public[*].id
}

output "private_subnets" {
  value = aws_subnet.private[*].id
}
