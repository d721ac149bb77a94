variable "vpc_id" {
  type = string
}

variable "vpc_cidr" {
  type = string
}

variable "subnet_ids" {
  description = "Public subnets in three availability zones."
  type        = list(string)

  validation {
    condition     = length(var.subnet_ids) == 3 && length(distinct(var.subnet_ids)) == 3
    error_message = "subnet_ids: three different ones, or a lost zone takes the majority with it."
  }
}

variable "zone_id" {
  description = "Route 53 zone of the nodes' names."
  type        = string
}

variable "zone_name" {
  type = string
}

variable "instance_type" {
  type    = string
  default = "m7i.large"
}

variable "max_file_store" {
  description = "Octets that JetStream may take on the disk of each node."
  type        = number
  default     = 17179869184
}

variable "server" {
  description = "As module nats-config wants it."
  type        = object({ url = string, sha256 = string })
}

variable "ssh" {
  description = "Public key of the operators, OpenSSH, and where they come from."
  type        = object({ public_key = string, cidrs = list(string) })
}
