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
  description = "nats-server as its project releases it, .tar.gz: Debian's is older, and servers before 2.15 lose acknowledged records when a leader is cut off."
  type        = object({ url = string, sha256 = string })

  validation {
    condition     = can(regex("^https://.*/nats-server-v(2[.](1[5-9]|[2-9][0-9])|[3-9])[^/]*-linux-amd64[.]tar[.]gz$", var.server.url)) && can(regex("^[0-9a-f]{64}$", var.server.sha256))
    error_message = "server: an https URL that ends in nats-server-v<2.15 or later>-linux-amd64.tar.gz, and 64 hexadecimal digits."
  }
}
