# Three ClickHouse nodes, each a replica with Keeper inside. Analytics asks the first; when that is lost, an operator names
# another one (docs/operate/databases-down.md): by itself it would store twice.

terraform {
  required_version = ">= 1.6.0"
  required_providers {
    aws = { source = "hashicorp/aws", version = ">= 6.0, < 7.0" }
  }
}

locals {
  # ClickHouse looks at these files itself.
  placed = [for name in ["tls.pem", "tls.key", "users.yaml"] : [
    "install", "-D", "-o", "clickhouse", "-g", "clickhouse", "-m", "0400", "/etc/mecai/secrets/${name}",
    name == "users.yaml" ? "/etc/clickhouse-server/users.d/mecai.yaml" : "/etc/clickhouse-server/${name}",
  ]]
  nodes = [for i in range(3) : "clickhouse-${i + 1}.${var.zone_name}"]
  # Queries of others, replication, Keeper: among the nodes.
  own_ports = [9000, 9009, 9181, 9234]
}

module "secrets" {
  source  = "../secrets-aws"
  count   = 3
  machine = "mecai-clickhouse-${count.index + 1}"
  names   = ["tls.pem", "tls.key", "users.yaml", "cluster.env"]
}

module "machine" {
  source       = "../machine"
  count        = 3
  process      = "clickhouse-server"
  secret_store = "aws"
  secrets      = module.secrets[count.index].secrets
  files = {
    "/etc/clickhouse-server/config.d/mecai.yaml" = templatefile("${path.module}/clickhouse.yaml.tftpl", {
      node   = local.nodes[count.index]
      nodes  = local.nodes
      number = count.index + 1
    })
    "/etc/clickhouse-server/users.d/00-default.yaml" = file("${path.module}/default-user.yaml")
  }
  commands = concat(
    # Debian has no ClickHouse that is new enough: the repository is yours to choose.
    var.install_commands,
    local.placed,
  )
  refreshed = local.placed
  drop_in   = <<-EOT
    [Service]
    EnvironmentFile=/etc/mecai/secrets/cluster.env
  EOT
}

module "instance" {
  source           = "../instance-aws"
  count            = 3
  name             = "mecai-clickhouse-${count.index + 1}"
  ssh              = var.ssh
  vpc_id           = var.vpc_id
  subnet_id        = var.subnet_ids[count.index]
  instance_type    = var.instance_type
  user_data        = module.machine[count.index].user_data
  secrets          = values(module.secrets[count.index].secrets)
  volume_gigabytes = var.volume_gigabytes
  security_groups  = [aws_security_group.nodes.id]
  ingress          = [{ port = 8443, cidr = var.vpc_cidr }]
}

resource "aws_security_group" "nodes" {
  name_prefix = "mecai-clickhouse-"
  description = "Nodes of ClickHouse"
  vpc_id      = var.vpc_id
}

resource "aws_vpc_security_group_ingress_rule" "nodes" {
  count                        = length(local.own_ports)
  security_group_id            = aws_security_group.nodes.id
  referenced_security_group_id = aws_security_group.nodes.id
  ip_protocol                  = "tcp"
  from_port                    = local.own_ports[count.index]
  to_port                      = local.own_ports[count.index]
}

resource "aws_route53_record" "node" {
  count   = 3
  zone_id = var.zone_id
  name    = local.nodes[count.index]
  type    = "A"
  ttl     = 60
  records = [module.instance[count.index].private_address]
}

output "url" {
  description = "For analytics, whose `store.cluster.name` is mecai."
  value       = "https://${local.nodes[0]}:8443"
}

output "nodes" {
  value = local.nodes
}

output "secrets" {
  description = "Where the operator puts certificates, users and the cluster's secret."
  value       = { for i, node in local.nodes : node => module.secrets[i].secrets }
}
