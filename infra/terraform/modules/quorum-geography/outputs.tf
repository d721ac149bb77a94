output "registry" {
  description = "The registry file, JSON, as coordinator and signer read it."
  value = jsonencode({
    version = var.registry_version
    # jsonencode would write what is absent as null.
    agents = [for name in local.names : { for member, value in merge(
      var.perspectives[name],
      { name = name, publicKey = var.keys[name].public_key, natsKey = var.keys[name].nats_key },
    ) : member => value if value != null } if contains(keys(var.keys), name)]
  })

  precondition {
    condition     = length(local.names) >= var.policy.perspectives
    error_message = "There are ${length(local.names)} perspectives; the policy asks ${var.policy.perspectives} of them for each voucher."
  }
  precondition {
    condition     = length(local.too_near) == 0
    error_message = "Nearer to each other than ${var.policy.min_distance_km} km, so that the signer counts only one of them: ${join(", ", local.too_near)}."
  }
  precondition {
    condition     = length(local.regions) > var.policy.min_regions
    error_message = "All perspectives are in the regions of ${join(", ", local.regions)}: with one of these RIRs lost, a quorum has no ${var.policy.min_regions} regions left."
  }
  precondition {
    condition     = local.in_turns >= var.policy.perspectives
    error_message = "A draw of ${var.policy.perspectives} may take more than ${local.allowed} perspectives from one RIR region, and without that region there is no quorum. Spread them: regions, each counted with at most ${local.allowed}, come to ${local.in_turns}."
  }
  precondition {
    condition     = length(local.networks) >= var.policy.min_networks
    error_message = "All perspectives are in ${join(", ", [for asn in local.networks : "AS${asn}"])}: a quorum needs ${var.policy.min_networks} networks."
  }
  precondition {
    condition     = length(local.too_heavy) == 0
    error_message = "A draw may take more than ${local.allowed} perspectives from one network, and without that network there is no quorum: ${join(", ", local.too_heavy)}."
  }
  precondition {
    condition     = length(setsubtract(keys(var.keys), local.names)) == 0
    error_message = "Keys of no perspective: ${join(", ", setsubtract(keys(var.keys), local.names))}."
  }
}

output "without_key" {
  description = "Perspectives whose key is not known yet."
  value       = setsubtract(local.names, keys(var.keys))
}

output "quorum" {
  description = "Member `quorum` of the signer's configuration: what was judged here is what it will ask for."
  value = {
    perspectives  = var.policy.perspectives
    minRegions    = var.policy.min_regions
    minNetworks   = var.policy.min_networks
    minDistanceKm = var.policy.min_distance_km
  }
}
