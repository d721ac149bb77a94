variable "machines" {
  type    = number
  default = 2

  validation {
    condition     = var.machines >= 2
    error_message = "machines: two at least, so that one can be replaced while the other answers."
  }
}

variable "archive" {
  description = "Archive of the coordinator."
  type        = object({ url = string, sha256 = string })
}

variable "vpc_id" {
  type = string
}

variable "vpc_cidr" {
  type = string
}

variable "subnet_ids" {
  description = "Public subnets."
  type        = list(string)
}

variable "instance_type" {
  type    = string
  default = "c7i.xlarge"
}

variable "public_url" {
  description = "How requesters reach it."
  type        = string
}

variable "https_certificate" {
  description = "Chain of the public name, PEM; its key is the secret https-key."
  type        = string
}

variable "operators" {
  description = "SPIFFE IDs of those whom `mecai-admin` serves."
  type        = list(string)
}

variable "operator_cidrs" {
  description = "Where operators are."
  type        = list(string)
}

variable "database_url" {
  description = "Output of module postgres."
  type        = string
}

variable "database_ca" {
  description = "Certificate of the CA of the database, PEM; of RDS one for the region, which no browser has."
  type        = string
}

variable "nats_servers" {
  type = list(string)
}

variable "signers" {
  type = list(object({ address = string, id = string }))

  validation {
    condition     = length(var.signers) >= 1
    error_message = "signers: one at least."
  }
}

variable "registry" {
  description = "Output of module quorum-geography."
  type        = string
}

variable "nats_ca" {
  description = "Certificate of the CA of the NATS servers, PEM."
  type        = string
}

variable "files" {
  type    = map(string)
  default = {}
}

variable "limits" {
  description = "Requests of all coordinators together; each is given its share, since each counts by itself."
  type        = map(object({ perMinute = number, burst = number }))
  default = {
    authenticated   = { perMinute = 600, burst = 200 }
    unauthenticated = { perMinute = 60, burst = 20 }
    target          = { perMinute = 120, burst = 40 }
    global          = { perMinute = 60000, burst = 2000 }
    routes          = { perMinute = 60, burst = 30 }
    reports         = { perMinute = 600, burst = 200 }
  }
}

variable "telemetry" {
  type    = any
  default = {}
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
