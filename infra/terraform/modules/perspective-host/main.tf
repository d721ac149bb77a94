# A perspective on a machine of anybody: what to tell it at its first start, and where it is. It needs no provider, so it
# also serves hosters without one, and friendly CAs that lend a machine. The modules for clouds are made of it.

terraform {
  required_version = ">= 1.6.0"
}

module "machine" {
  source       = "../machine"
  process      = "probe-agent"
  archive      = var.archive
  secret_store = var.secret_store
  secrets      = { "join-token" = var.join_token }
  files        = merge(var.files, { "/etc/mecai/nats-ca.pem" = var.nats_ca })
  # It makes the keys, waits until an operator approves, and starts the agent; the machine need not wait for it.
  commands = [["systemctl", "enable", "mecai-probe-agent-join"], ["systemctl", "start", "--no-block", "mecai-probe-agent-join"]]
  config = merge(
    {
      name = var.name
      # At a hoster nothing stands between this page and the world.
      admin     = var.secret_store == "host" ? "127.0.0.1:9102" : "0.0.0.0:9102"
      nats      = { servers = var.nats_servers, seedFile = "by the unit", ca = "/etc/mecai/nats-ca.pem" }
      keyFile   = "by the unit"
      join      = { url = var.coordinator_url }
      location  = { for member in ["city", "country", "latitude", "longitude", "rir", "asn"] : member => var.place[member] }
      telemetry = var.telemetry
    },
    var.config,
  )
}

output "user_data" {
  description = "cloud-init configuration, for the machine's user data."
  value       = module.machine.user_data
}

output "perspective" {
  description = "For module quorum-geography, by name."
  value       = { (var.name) = var.place }
}
