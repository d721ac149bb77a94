variable "process" {
  description = "A process of ours, or a server that Debian packages: nats-server, clickhouse-server, prometheus."
  type        = string

  validation {
    condition     = contains(["probe-agent", "coordinator", "signer", "analytics", "campaigns", "nats-server", "clickhouse-server", "prometheus"], var.process)
    error_message = "process: one of probe-agent, coordinator, signer, analytics, campaigns, nats-server, clickhouse-server, prometheus."
  }
}

variable "archive" {
  description = "Where the archive of our process is, and its SHA-256 as `npm run package` printed it; null for Debian's servers."
  type = object({
    url    = string
    sha256 = string
  })
  default = null

  validation {
    condition     = var.archive == null || can(regex("^https://", var.archive.url)) && can(regex("^[0-9a-f]{64}$", var.archive.sha256))
    error_message = "archive: an https URL and 64 hexadecimal digits."
  }
}

variable "config" {
  description = "The configuration file of our process. Paths of secrets come from the unit."
  type        = any
  default     = null
}

variable "files" {
  description = "Other files by path: certificates, the registry. No secrets."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for path, content in var.files : !can(regex("PRIVATE KEY", content))])
    error_message = "files: a private key would stay in the state. Put it into the secret store, and its name into `secrets`."
  }
}

variable "secrets" {
  description = "Secrets to fetch: name of the unit's credential, and what the store calls it. Of aws and google, new values are put in place within an hour; one whose file is gone stays away: a join token is used up."
  type        = map(string)
  default     = {}
}

variable "secret_store" {
  description = "aws (Secrets Manager), google (Secret Manager), or host: somebody puts them into /etc/mecai/secrets."
  type        = string

  validation {
    condition     = contains(["aws", "google", "host"], var.secret_store)
    error_message = "secret_store: one of aws, google, host."
  }
}

variable "commands" {
  description = "Programs and their arguments, run before the process starts, in this order. One that fails is run again after half a minute, and the next ones wait for it."
  type        = list(list(string))
  default     = []
}

variable "refreshed" {
  description = "Programs and their arguments, run after a secret has another value: `install` to where the process reads it, reload. By default nothing: what systemd hands over (LoadCredential: PIN, seeds, keys, passwords) a process has after its next restart, and that is the operator's."
  type        = list(list(string))
  default     = []
}

variable "packages" {
  description = "Further Debian packages."
  type        = list(string)
  default     = []
}

variable "drop_in" {
  description = "Settings laid over the systemd unit."
  type        = string
  default     = ""
}
