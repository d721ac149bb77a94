output "registry" {
  description = "registry.json, as coordinators and signers read it: terraform output -raw registry."
  value       = module.geography.registry
}

output "without_key" {
  description = "Perspectives that have not joined yet."
  value       = module.geography.without_key
}

output "signers" {
  description = "For the configuration of mecai-admin."
  value       = module.signer.signers
}

output "hsm" {
  value = { cluster = module.signer.hsm_cluster, addresses = module.signer.hsm_addresses }
}

output "public_name" {
  description = "What the record of the public name leads to (CNAME)."
  value       = module.coordinator.dns_name
}

output "coordinators" {
  description = "For the configuration of mecai-admin: port 7444."
  value       = module.coordinator.addresses
}

output "analytics_url" {
  description = "For the configuration of mecai-admin."
  value       = module.analytics.url
}

output "database_url" {
  description = "For operators, too: psql, pg_dump."
  value       = module.postgres.url
}

output "route_tables" {
  description = "Of the centre: the operators' way in belongs there."
  value       = module.network.route_tables
}

output "hosts_user_data" {
  description = "cloud-init for the machines of other hosters."
  value       = { for name, host in module.hosts : name => host.user_data }
}

output "secrets" {
  description = "Where the operator puts secrets, before and after the first start. Names, no secrets."
  value = {
    nats        = module.nats.secrets
    nats_leaf   = module.leaf_tokyo.secrets
    clickhouse  = module.clickhouse.secrets
    coordinator = module.coordinator.secrets
    signer      = module.signer.secrets
    analytics   = module.analytics.secrets
    campaigns   = module.campaigns_secrets[*].secrets
    postgres    = module.postgres.master_secret
    join_tokens = { for name, one in { frankfurt = module.frankfurt, tokyo = module.tokyo, johannesburg = module.johannesburg, santiago = module.santiago } : name => one.join_token_secret }
  }
}
