variable "name" {
  type = string
}

variable "vpc_id" {
  type = string
}

variable "subnet_id" {
  type = string
}

variable "instance_type" {
  type = string
}

variable "user_data" {
  description = "From module machine."
  type        = string
}

variable "secrets" {
  description = "ARNs of the secrets that it may read."
  type        = list(string)
  default     = []
}

variable "ingress" {
  description = "Who may connect to which TCP port."
  type        = list(object({ port = number, cidr = string }))
  default     = []
}

variable "egress_cidrs" {
  description = "Where it may connect to."
  type        = list(string)
  default     = ["0.0.0.0/0"]
}

variable "security_groups" {
  description = "Further ones that it belongs to."
  type        = list(string)
  default     = []
}

variable "volume_gigabytes" {
  type    = number
  default = 20
}

variable "fixed_public_address" {
  type    = bool
  default = false
}

variable "ssh" {
  description = "Public key of the operators, OpenSSH, and where they come from."
  type        = object({ public_key = string, cidrs = list(string) })
}
