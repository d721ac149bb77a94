# Network, bus, databases, coordinators, signers, analytics, monitoring.

locals {
  ssh = { public_key = var.operators_key, cidrs = var.operator_cidrs }
  # In networks that the operators' VPN does not lead to.
  ssh_elsewhere = { public_key = var.operators_key, cidrs = var.operator_public_cidrs }
}

module "network" {
  source = "../../modules/network-aws"
  name   = "mecai"
  cidr   = "10.10.0.0/16"
  zones  = 3
  # For signers and databases.
  private = true
}

module "nats" {
  source     = "../../modules/nats"
  server     = var.nats_server
  ssh        = local.ssh
  vpc_id     = module.network.vpc_id
  vpc_cidr   = module.network.cidr
  subnet_ids = module.network.public_subnets
  zone_id    = var.zone_id
  zone_name  = var.zone_name
}

module "postgres" {
  source       = "../../modules/postgres"
  vpc_id       = module.network.vpc_id
  subnet_ids   = module.network.private_subnets
  client_cidrs = concat([module.network.cidr], var.operator_cidrs)
}

module "clickhouse" {
  source           = "../../modules/clickhouse"
  install_commands = var.clickhouse_commands
  ssh              = local.ssh
  vpc_id           = module.network.vpc_id
  vpc_cidr         = module.network.cidr
  subnet_ids       = module.network.public_subnets
  zone_id          = var.zone_id
  zone_name        = var.zone_name
}

module "signer" {
  zone_id           = var.zone_id
  zone_name         = var.zone_name
  source            = "../../modules/signer"
  archive           = var.archives["signer"]
  ssh               = local.ssh
  vpc_id            = module.network.vpc_id
  subnet_ids        = slice(module.network.private_subnets, 0, 2)
  id                = "spiffe://${var.zone_name}/signer"
  coordinators      = [for i in range(2) : "spiffe://${var.zone_name}/coordinator-${i + 1}"]
  operators         = ["spiffe://${var.zone_name}/operator"]
  coordinator_cidrs = [module.network.cidr]
  operator_cidrs    = var.operator_cidrs
  monitoring_cidrs  = [module.network.cidr]
  hsm_cidrs         = [module.network.cidr]
  setup_cidrs       = var.setup_cidrs
  hsms              = var.hsms
  hsm_commands      = var.hsm_commands
  registry          = module.geography.registry
  quorum            = module.geography.quorum
  registry_key      = var.registry_key
  own_ca            = var.own_ca
}

module "coordinator" {
  zone_id           = var.zone_id
  zone_name         = var.zone_name
  source            = "../../modules/coordinator"
  archive           = var.archives["coordinator"]
  ssh               = local.ssh
  vpc_id            = module.network.vpc_id
  vpc_cidr          = module.network.cidr
  subnet_ids        = module.network.public_subnets
  public_url        = var.public_url
  https_certificate = var.https_certificate
  operators         = ["spiffe://${var.zone_name}/operator"]
  operator_cidrs    = var.operator_cidrs
  database_url      = module.postgres.url
  database_ca       = var.database_ca
  nats_servers      = module.nats.servers
  signers           = module.signer.signers
  registry          = module.geography.registry
  nats_ca           = var.nats_ca
}

module "analytics" {
  zone_id         = var.zone_id
  zone_name       = var.zone_name
  source          = "../../modules/analytics"
  archive         = var.archives["analytics"]
  signed_registry = var.signed_registry
  registry_key    = var.registry_key
  ssh             = local.ssh
  vpc_id          = module.network.vpc_id
  vpc_cidr        = module.network.cidr
  subnet_ids      = module.network.public_subnets
  nats_servers    = module.nats.servers
  nats_ca         = var.nats_ca
  clickhouse_url  = module.clickhouse.url
  clickhouse_ca   = var.clickhouse_ca
  api_tokens      = var.api_tokens
}

module "campaigns_secrets" {
  source  = "../../modules/secrets-aws"
  count   = var.campaigns ? 1 : 0
  machine = "mecai-campaigns"
  names   = ["nats-seed", "analytics-token"]
}

module "campaigns_machine" {
  source       = "../../modules/machine"
  count        = var.campaigns ? 1 : 0
  process      = "campaigns"
  archive      = var.archives["campaigns"]
  secret_store = "aws"
  secrets      = module.campaigns_secrets[0].secrets
  files        = { "/etc/mecai/nats-ca.pem" = var.nats_ca }
  config = {
    admin     = "0.0.0.0:9104"
    nats      = { servers = module.nats.servers, seedFile = "by the unit", ca = "/etc/mecai/nats-ca.pem" }
    analytics = { url = module.analytics.url, tokenFile = "by the unit" }
  }
}

module "campaigns" {
  source        = "../../modules/instance-aws"
  count         = var.campaigns ? 1 : 0
  name          = "mecai-campaigns"
  ssh           = local.ssh
  vpc_id        = module.network.vpc_id
  subnet_id     = module.network.public_subnets[0]
  instance_type = "t3.small"
  user_data     = module.campaigns_machine[0].user_data
  secrets       = values(module.campaigns_secrets[0].secrets)
  ingress       = [for cidr in concat([module.network.cidr], var.operator_cidrs) : { port = 9104, cidr = cidr }]
}

module "monitoring" {
  source        = "../../modules/monitoring"
  ssh           = local.ssh
  vpc_id        = module.network.vpc_id
  subnet_id     = module.network.public_subnets[0]
  alertmanagers = var.alertmanagers
  viewer_cidrs  = var.operator_cidrs
  targets = {
    coordinator = [for address in module.coordinator.addresses : "${address}:9101"]
    signer      = [for signer in module.signer.signers : replace(signer.address, ":7443", ":9103")]
    analytics   = [for address in module.analytics.addresses : "${address}:7480"]
    campaigns   = [for one in module.campaigns : "${one.private_address}:9104"]
    # Each by itself: with a list of whole modules their firewall rules, which wait for this machine, would come in.
    probe-agent = [for address in [module.frankfurt.address, module.tokyo.address, module.johannesburg.address, module.santiago.address] : "${address}:9102"]
  }
}
