variable "vpc_id" {
  type = string
}

variable "vpc_cidr" {
  type = string
}

variable "subnet_ids" {
  description = "Subnets in three availability zones."
  type        = list(string)

  validation {
    condition     = length(distinct(var.subnet_ids)) == 3
    error_message = "subnet_ids: three different ones, or a lost zone takes Keeper's majority with it."
  }
}

variable "zone_id" {
  description = "Route 53 zone of the nodes' names."
  type        = string
}

variable "zone_name" {
  type = string
}

variable "install_commands" {
  description = "Programs and arguments that set up a package repository and install ClickHouse with its unit and user, no older than the engine of the npm package chdb: Debian's is too old."
  type        = list(list(string))

  validation {
    condition     = length(var.install_commands) > 0
    error_message = "install_commands: without any there is no ClickHouse."
  }
}

variable "instance_type" {
  type    = string
  default = "m7i.2xlarge"
}

variable "volume_gigabytes" {
  type    = number
  default = 1000
}

variable "ssh" {
  description = "Public key of the operators, OpenSSH, and where they come from."
  type        = object({ public_key = string, cidrs = list(string) })
}
