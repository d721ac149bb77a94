# Eight perspectives in five RIR regions and four networks: AWS and Google Cloud, and machines of two other hosters.

locals {
  aws_asn    = 16509
  google_asn = 396982
}

# A network of its own, as those elsewhere: what is in the centre's trusts who else is there.
module "network_frankfurt" {
  source = "../../modules/network-aws"
  name   = "mecai-perspective"
  cidr   = "10.12.0.0/16"
}

module "frankfurt" {
  source           = "../../modules/perspective-aws"
  name             = "frankfurt"
  place            = { city = "Frankfurt", region = "DE-HE", country = "DE", latitude = 50.11, longitude = 8.68, rir = "ripencc", asn = local.aws_asn }
  nats_servers     = module.nats.servers
  ssh              = local.ssh_elsewhere
  archive          = var.archives["probe-agent"]
  vpc_id           = module.network_frankfurt.vpc_id
  subnet_id        = module.network_frankfurt.public_subnets[0]
  coordinator_url  = var.public_url
  nats_ca          = var.nats_ca
  monitoring_cidrs = ["${module.monitoring.address}/32"]
}

module "network_tokyo" {
  source    = "../../modules/network-aws"
  providers = { aws = aws.tokyo }
  name      = "mecai"
  cidr      = "10.11.0.0/16"
}

module "leaf_tokyo" {
  source      = "../../modules/nats-leaf"
  providers   = { aws = aws.tokyo }
  region_name = "tokyo"
  zone_id     = var.zone_id
  zone_name   = var.zone_name
  ssh         = local.ssh_elsewhere
  server      = var.nats_server
  nodes       = module.nats.nodes
  vpc_id      = module.network_tokyo.vpc_id
  subnet_id   = module.network_tokyo.public_subnets[0]
  agent_cidrs = [module.network_tokyo.cidr]
}

module "tokyo" {
  source           = "../../modules/perspective-aws"
  providers        = { aws = aws.tokyo }
  name             = "tokyo"
  place            = { city = "Tokyo", region = "JP-13", country = "JP", latitude = 35.68, longitude = 139.69, rir = "apnic", asn = local.aws_asn }
  nats_servers     = concat([module.leaf_tokyo.server], module.nats.servers)
  ssh              = local.ssh_elsewhere
  archive          = var.archives["probe-agent"]
  vpc_id           = module.network_tokyo.vpc_id
  subnet_id        = module.network_tokyo.public_subnets[0]
  coordinator_url  = var.public_url
  nats_ca          = var.nats_ca
  monitoring_cidrs = ["${module.monitoring.address}/32"]
}

module "johannesburg" {
  source           = "../../modules/perspective-google"
  name             = "johannesburg"
  place            = { city = "Johannesburg", region = "ZA-GP", country = "ZA", latitude = -26.2, longitude = 28.05, rir = "afrinic", asn = local.google_asn }
  project          = var.google_project
  zone             = "africa-south1-a"
  nats_servers     = module.nats.servers
  ssh              = local.ssh_elsewhere
  archive          = var.archives["probe-agent"]
  coordinator_url  = var.public_url
  nats_ca          = var.nats_ca
  monitoring_cidrs = ["${module.monitoring.address}/32"]
}

module "santiago" {
  source           = "../../modules/perspective-google"
  name             = "santiago"
  place            = { city = "Santiago", region = "CL-RM", country = "CL", latitude = -33.45, longitude = -70.67, rir = "lacnic", asn = local.google_asn }
  project          = var.google_project
  zone             = "southamerica-west1-a"
  nats_servers     = module.nats.servers
  ssh              = local.ssh_elsewhere
  archive          = var.archives["probe-agent"]
  coordinator_url  = var.public_url
  nats_ca          = var.nats_ca
  monitoring_cidrs = ["${module.monitoring.address}/32"]
}

module "hosts" {
  source          = "../../modules/perspective-host"
  for_each        = var.host_places
  name            = each.key
  place           = each.value
  nats_servers    = module.nats.servers
  archive         = var.archives["probe-agent"]
  coordinator_url = var.public_url
  nats_ca         = var.nats_ca
  telemetry       = var.collector == null ? {} : { collector = var.collector }
}

module "geography" {
  source           = "../../modules/quorum-geography"
  registry_version = var.registry_version
  keys             = var.keys
  perspectives = merge(concat(
    # As with the addresses in centre.tf.
    [module.frankfurt.perspective, module.tokyo.perspective, module.johannesburg.perspective, module.santiago.perspective],
    [for host in module.hosts : host.perspective],
  )...)
}
