variable "machines" {
  type    = number
  default = 2

  validation {
    condition     = var.machines >= 2
    error_message = "machines: two at least, so that one takes over when the other is gone."
  }
}

variable "archive" {
  description = "Archive of analytics."
  type        = object({ url = string, sha256 = string })
}

variable "vpc_id" {
  type = string
}

variable "vpc_cidr" {
  type = string
}

variable "subnet_ids" {
  type = list(string)
}

variable "instance_type" {
  type    = string
  default = "m7i.large"
}

variable "nats_servers" {
  type = list(string)
}

variable "nats_ca" {
  description = "Certificate of the CA of the NATS servers, PEM."
  type        = string
}

variable "registry_key" {
  description = "Public key of the operator who signs updates of the registry, PEM."
  type        = string
}

variable "signed_registry" {
  description = "The registry that the operator signed last and its signature, to begin with; null until there is one. Later ones coordinators tell."
  type        = object({ registry = string, signature = string })
  default     = null

  validation {
    condition     = var.signed_registry == null || can(regex("version", var.signed_registry.registry)) && can(regex("^[A-Za-z0-9+/]{80}", var.signed_registry.signature))
    error_message = "signed_registry: the two files that `mecai-admin agents … --copy` writes."
  }
}

variable "clickhouse_ca" {
  description = "Certificate of the CA of the ClickHouse servers, PEM."
  type        = string
}

variable "clickhouse_url" {
  description = "Output of module clickhouse."
  type        = string
}

variable "api_tokens" {
  description = "Who may use the API: second line of `mecai-admin token`. It has the token's hash, no secret."
  type        = list(object({ name = string, sha256 = string, scopes = list(string) }))
  default     = []

  validation {
    condition     = alltrue([for one in var.api_tokens : can(regex("^[0-9a-f]{64}$", one.sha256))])
    error_message = "api_tokens: sha256 is 64 hexadecimal digits, the hash of the token and not the token."
  }
}

variable "config" {
  description = "Members laid over the configuration."
  type        = any
  default     = {}
}

variable "ssh" {
  description = "Public key of the operators, OpenSSH, and where they come from."
  type        = object({ public_key = string, cidrs = list(string) })
}

variable "zone_id" {
  description = "Route 53 zone of internal names."
  type        = string
}

variable "zone_name" {
  type = string
}
