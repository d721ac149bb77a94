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

variable "project" {
  type = string
}

variable "zone" {
  description = "Such as africa-south1-a or southamerica-west1-a."
  type        = string
}

variable "machine_type" {
  type    = string
  default = "e2-standard-2"
}

variable "monitoring_cidrs" {
  description = "Who may read metrics."
  type        = list(string)
  default     = []
}

variable "image" {
  description = "A Debian or Ubuntu image that runs cloud-init."
  type        = string
  default     = "ubuntu-os-cloud/ubuntu-2404-lts-amd64"
}

variable "ssh" {
  description = "Public key of the operators, OpenSSH, and where they come from."
  type        = object({ public_key = string, cidrs = list(string) })
}
