variable "perspectives" {
  description = "Every perspective of the network by its name, which is also its name in the registry."
  type = map(object({
    city      = string
    region    = optional(string)
    country   = string
    latitude  = number
    longitude = number
    rir       = string
    asn       = number
  }))

  validation {
    condition     = alltrue([for name, p in var.perspectives : can(regex("^[a-z0-9][a-z0-9-]{0,62}$", name))])
    error_message = "Names of perspectives are lower-case letters, digits and hyphens, at most 63."
  }
  validation {
    condition     = alltrue([for name, p in var.perspectives : length(p.city) >= 1 && length(p.city) <= 64])
    error_message = "city: 1 to 64 characters."
  }
  validation {
    condition     = alltrue([for name, p in var.perspectives : p.region == null || can(regex("^[A-Z]{2}-[A-Z0-9]{1,3}$", p.region))])
    error_message = "region: ISO 3166-2, such as DE-HE, or left out."
  }
  validation {
    condition     = alltrue([for name, p in var.perspectives : can(regex("^[A-Z]{2}$", p.country))])
    error_message = "country: ISO 3166-1 alpha-2, such as DE."
  }
  validation {
    condition     = alltrue([for name, p in var.perspectives : p.latitude >= -90 && p.latitude <= 90 && p.longitude >= -180 && p.longitude <= 180])
    error_message = "latitude: -90 to 90 degrees; longitude: -180 to 180 degrees."
  }
  validation {
    condition     = alltrue([for name, p in var.perspectives : contains(["afrinic", "apnic", "arin", "lacnic", "ripencc"], p.rir)])
    error_message = "rir: one of afrinic, apnic, arin, lacnic, ripencc."
  }
  validation {
    condition     = alltrue([for name, p in var.perspectives : p.asn >= 1 && p.asn <= 4294967295 && p.asn == floor(p.asn)])
    error_message = "asn: an autonomous system number, 1 to 4294967295."
  }
}

variable "keys" {
  description = "What agents showed when they joined: observation key (P-256 SubjectPublicKeyInfo, DER in base64) and public nkey. Perspectives without are not in the registry yet."
  type = map(object({
    public_key = string
    nats_key   = optional(string)
  }))
  default = {}

  validation {
    condition     = alltrue([for name, one in var.keys : can(regex("^MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE[A-Za-z0-9+/]{86}==$", one.public_key))])
    error_message = "keys: public_key is an uncompressed P-256 SubjectPublicKeyInfo (RFC 5480), DER in base64."
  }
  validation {
    # U for public, where S is a seed, which belongs nowhere but on the agent's machine.
    condition     = alltrue([for name, one in var.keys : one.nats_key == null || can(regex("^U[A-Z2-7]{55}$", one.nats_key))])
    error_message = "keys: nats_key is the public nkey of a user, U and 55 characters."
  }
  validation {
    condition     = length(distinct([for name, one in var.keys : one.public_key])) == length(var.keys)
    error_message = "keys: two perspectives have the same key."
  }
  validation {
    condition     = length(distinct([for name, one in var.keys : one.nats_key if one.nats_key != null])) == length([for name, one in var.keys : one.nats_key if one.nats_key != null])
    error_message = "keys: two perspectives have the same nkey."
  }
}

variable "registry_version" {
  description = "Raise it with every change: vouchers name it, and the signer refuses a lower one."
  type        = number

  validation {
    condition     = var.registry_version >= 1 && var.registry_version == floor(var.registry_version)
    error_message = "registry_version: a positive integer."
  }
}

variable "policy" {
  description = "The signer's quorum policy, with the signer's own defaults."
  type = object({
    perspectives    = optional(number, 6)
    min_regions     = optional(number, 2)
    min_networks    = optional(number, 2)
    min_distance_km = optional(number, 500)
  })
  default = {}

  validation {
    condition     = var.policy.perspectives >= 2 && var.policy.perspectives <= 64 && var.policy.perspectives == floor(var.policy.perspectives)
    error_message = "policy.perspectives: 2 to 64."
  }
  validation {
    condition     = var.policy.min_distance_km >= 0 && var.policy.min_distance_km <= 20000
    error_message = "policy.min_distance_km: 0 to 20000."
  }
  # CA/Browser Forum BR 3.2.2.9: one perspective of two to five may fail to corroborate, two of six or more. A lost
  # region or network takes that many at most; those that are left hold at most that many from each region and network.
  validation {
    condition = (
      ceil((var.policy.perspectives - (var.policy.perspectives >= 6 ? 2 : 1)) / (var.policy.perspectives >= 6 ? 2 : 1))
      >= max(var.policy.min_regions, var.policy.min_networks)
    )
    error_message = "policy: with so few perspectives no quorum is left in min_regions and min_networks once a region or a network is lost."
  }
}
