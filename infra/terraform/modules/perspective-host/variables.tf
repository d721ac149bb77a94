variable "name" {
  description = "Name in the registry."
  type        = string
}

variable "place" {
  description = "Where it is, and the network that targets see it come from."
  type = object({
    city      = string
    region    = optional(string)
    country   = string
    latitude  = number
    longitude = number
    rir       = string
    asn       = number
  })
}

variable "nats_servers" {
  description = "The leaf node of this region first, then the cluster."
  type        = list(string)
}

variable "archive" {
  description = "Archive of the probe agent."
  type        = object({ url = string, sha256 = string })
}

variable "secret_store" {
  description = "Where the join token is: aws, google or host."
  type        = string
  default     = "host"
}

variable "join_token" {
  description = "What the store calls the token, never the token itself."
  type        = string
  default     = "join-token"
}

variable "coordinator_url" {
  description = "Where the agent joins: the coordinators' public URL."
  type        = string
}

variable "nats_ca" {
  description = "Certificate of the CA of the NATS servers, PEM."
  type        = string
}

variable "files" {
  description = "Other files by path. No secrets."
  type        = map(string)
  default     = {}
}

variable "telemetry" {
  description = "Member `telemetry` of the configuration."
  type        = any
  default     = {}
}

variable "config" {
  description = "Members laid over the configuration, such as `geoip`."
  type        = any
  default     = {}
}
