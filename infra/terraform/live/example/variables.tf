variable "google_project" {
  type = string
}

variable "zone_id" {
  description = "Route 53 zone of internal names: a public one that is delegated, since agents elsewhere look them up, too. Those of the centre lead to private addresses."
  type        = string
}

variable "zone_name" {
  type    = string
  default = "mecai.example"
}

variable "public_url" {
  description = "Where requesters reach the voucher authority."
  type        = string
  default     = "https://va.example"
}

variable "https_certificate" {
  description = "Chain for the public name, PEM."
  type        = string
}

variable "own_ca" {
  description = "Certificates of the CA that runs this voucher authority, PEM."
  type        = string
}

variable "registry_key" {
  description = "Public key of the operator who signs updates of the registry, PEM."
  type        = string
}

variable "signed_registry" {
  description = "The registry as the operator signed it last, for sinks; see module analytics."
  type        = object({ registry = string, signature = string })
  default     = null
}

variable "nats_ca" {
  description = "Certificate of the CA of the NATS servers, PEM."
  type        = string
}

variable "clickhouse_ca" {
  description = "Certificate of the CA of the ClickHouse servers, PEM."
  type        = string
}

variable "database_ca" {
  description = "Certificate of the CA of Postgres, PEM: https://truststore.pki.rds.amazonaws.com/<region>/<region>-bundle.pem."
  type        = string
}

variable "nats_server" {
  description = "Release of nats-server, 2.15 or later: nats-server-v<version>-linux-amd64.tar.gz."
  type        = object({ url = string, sha256 = string })
}

variable "api_tokens" {
  description = "Who may use the API of analytics; see module analytics."
  type        = list(object({ name = string, sha256 = string, scopes = list(string) }))
  default     = []
}

variable "campaigns" {
  description = "Whether agents look again at what campaigns ask for; their token has the scopes read and operate."
  type        = bool
  default     = false
}

variable "archives" {
  description = "Where the archives are, by process: probe-agent, coordinator, signer, analytics; campaigns where there are some."
  type        = map(object({ url = string, sha256 = string }))
}

variable "keys" {
  description = "Public keys of the agents, as they joined."
  type        = map(object({ public_key = string, nats_key = optional(string) }))
  default     = {}
}

variable "registry_version" {
  description = "Raise it with every change."
  type        = number
  default     = 1
}

variable "host_places" {
  description = "Perspectives on machines of other hosters, by name: two in each of two networks here."
  type = map(object({
    city      = string
    region    = optional(string)
    country   = string
    latitude  = number
    longitude = number
    rir       = string
    asn       = number
  }))
  default = {
    helsinki = { city = "Helsinki", country = "FI", latitude = 60.17, longitude = 24.94, rir = "ripencc", asn = 24940 }
    ashburn  = { city = "Ashburn", region = "US-VA", country = "US", latitude = 39.04, longitude = -77.49, rir = "arin", asn = 24940 }
    montreal = { city = "Montréal", region = "CA-QC", country = "CA", latitude = 45.5, longitude = -73.57, rir = "arin", asn = 16276 }
    sydney   = { city = "Sydney", region = "AU-NSW", country = "AU", latitude = -33.87, longitude = 151.21, rir = "apnic", asn = 16276 }
  }
}

variable "operator_cidrs" {
  description = "Where operators come from, by VPN."
  type        = list(string)
  default     = ["10.20.0.0/16"]
}

variable "operator_public_cidrs" {
  description = "Where operators come from without the VPN: for ssh to perspectives and leaf nodes in other networks."
  type        = list(string)
}

variable "setup_cidrs" {
  description = "Where signers may connect to: [\"0.0.0.0/0\"] until they are set up, [\"10.10.0.0/16\"] afterwards."
  type        = list(string)
}

variable "operators_key" {
  description = "Public key of the operators, OpenSSH: for ssh to machines of the centre from `operator_cidrs`, to others from `operator_public_cidrs`."
  type        = string
}

variable "alertmanagers" {
  description = "Whom Prometheus sends alerts to, host:port."
  type        = list(string)
}

variable "hsms" {
  description = "1 until the HSM cluster is activated (docs/operate/key-ceremony.md), then 2."
  type        = number
}

variable "hsm_commands" {
  description = "Programs and arguments that install the client of the HSM on a signer; see module signer."
  type        = list(list(string))
}

variable "collector" {
  description = "OTLP over HTTP, where machines of other hosters send metrics and traces: their pages of metrics are for themselves only."
  type        = string
  default     = null
}

variable "clickhouse_commands" {
  description = "Programs and arguments that install ClickHouse; see module clickhouse."
  type        = list(list(string))
}
