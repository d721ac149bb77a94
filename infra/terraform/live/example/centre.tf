# Network, bus, databases, coordinators, signers, monitoring.

module "network" {
  source = "../../modules/network-aws"
  name   = "mecai"
  cidr   = "10.10.0.0/16"
  zones  = 3
}

module "nats" {
  source     = "../../modules/nats"
  server     = var.nats_server
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
  client_cidrs = [module.network.cidr]
}

module "clickhouse" {
  source     = "../../modules/clickhouse"
  vpc_id     = module.network.vpc_id
  vpc_cidr   = module.network.cidr
  subnet_ids = module.network.public_subnets
  zone_id    = var.zone_id
  zone_name  = var.zone_name
}

module "signer" {
  source            = "../../modules/signer"
  archive           = var.archives["signer"]
  vpc_id            = module.network.vpc_id
  subnet_ids        = slice(module.network.private_subnets, 0, 2)
  id                = "spiffe://${var.zone_name}/signer"
  coordinators      = [for i in range(2) : "spiffe://${var.zone_name}/coordinator-${i + 1}"]
  operators         = ["spiffe://${var.zone_name}/operator"]
  coordinator_cidrs = [module.network.cidr]
  operator_cidrs    = var.operator_cidrs
  hsm_cidrs         = [module.network.cidr]
  setup_cidrs       = var.setup_cidrs
  registry          = module.geography.registry
  quorum            = module.geography.quorum
  registry_key      = var.registry_key
  own_ca            = var.own_ca
}

module "coordinator" {
  source            = "../../modules/coordinator"
  archive           = var.archives["coordinator"]
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

module "analytics_machine" {
  source       = "../../modules/machine"
  process      = "analytics"
  archive      = var.archives["analytics"]
  secret_store = "aws"
  secrets      = module.analytics.secrets
  files        = { "/etc/mecai/nats-ca.pem" = var.nats_ca, "/etc/mecai/registry.json" = module.geography.registry }
  config = {
    nats     = { servers = module.nats.servers, seedFile = "by the unit", ca = "/etc/mecai/nats-ca.pem", name = "analytics-1", streamReplicas = 3 }
    registry = "/etc/mecai/registry.json"
    store    = { kind = "server", url = module.clickhouse.url, user = "mecai", passwordFile = "by the unit", cluster = { name = "mecai" } }
    admin    = "0.0.0.0:7480"
    api      = { listen = "0.0.0.0:7481" }
  }
}

module "analytics" {
  source        = "../../modules/instance-aws"
  name          = "mecai-analytics-1"
  vpc_id        = module.network.vpc_id
  subnet_id     = module.network.public_subnets[0]
  instance_type = "m7i.large"
  user_data     = module.analytics_machine.user_data
  secrets       = ["nats-seed", "clickhouse-password"]
  ingress       = [for port in [7480, 7481] : { port = port, cidr = module.network.cidr }]
}

module "monitoring" {
  source    = "../../modules/monitoring"
  vpc_id    = module.network.vpc_id
  subnet_id = module.network.public_subnets[0]
  targets = {
    coordinator = [for address in module.coordinator.addresses : "${address}:9101"]
    signer      = [for signer in module.signer.signers : replace(signer.address, ":7443", ":9103")]
    analytics   = ["${module.analytics.private_address}:7480"]
    probe-agent = [for one in [module.frankfurt, module.tokyo, module.johannesburg, module.santiago] : "${one.address}:9102"]
  }
}
