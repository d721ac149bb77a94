# nats-server and its configuration: a node of the cluster, or the leaf node of a region. It needs no provider.

terraform {
  required_version = ">= 1.6.0"
}

variable "name" {
  type = string
}

variable "nodes" {
  description = "DNS names of the nodes of the cluster; their certificates carry them."
  type        = list(string)

  validation {
    condition     = length(var.nodes) >= 3 && length(var.nodes) % 2 == 1
    error_message = "nodes: three or more, an odd number: JetStream decides by majority (Raft)."
  }
}

variable "leaf" {
  description = "A leaf node of a region instead of a node of the cluster."
  type        = bool
  default     = false
}

variable "watch_looks" {
  description = "Looks, five seconds apart, at which the node was not current before it is restarted: for each node of the cluster another number, or all would go at once. Leaf nodes are not watched."
  type        = number
  default     = 12

  validation {
    condition     = var.watch_looks >= 12 && var.watch_looks <= 720
    error_message = "watch_looks: 12 to 720, since an election and catching up take up to half a minute."
  }
}

variable "max_file_store" {
  description = "Octets that JetStream may take on the disk; more than its streams reserve together."
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

locals {
  tls = {
    cert_file = "/etc/nats/tls.pem"
    key_file  = "/etc/nats/tls.key"
    ca_file   = "/etc/nats/ca.pem"
  }
  host = "0.0.0.0"
  # Read-only; the security group lets in operators and who is in the network.
  monitor = "${var.leaf ? "127.0.0.1" : local.host}:8222"
  # It includes users.conf, which `mecai-admin agents nats-users` writes; that of a leaf node also leaf.conf, one line:
  # urls: ["tls://<leaf>:<password>@<node>:7422", …].
  config = var.leaf ? templatefile("${path.module}/leaf.conf.tftpl", {
    name    = var.name
    host    = local.host
    monitor = local.monitor
    tls     = jsonencode(local.tls)
    }) : templatefile("${path.module}/node.conf.tftpl", {
    name           = var.name
    host           = local.host
    monitor        = local.monitor
    store          = "/var/lib/nats"
    tls            = jsonencode(local.tls)
    mutual         = jsonencode(merge(local.tls, { verify = true }))
    known          = jsonencode(merge(local.tls, { verify_cert_and_check_known_urls = true }))
    routes         = jsonencode([for node in var.nodes : "tls://${node}:6222"])
    max_file_store = var.max_file_store
  })
}

output "install" {
  description = "Command that installs it."
  value       = ["/usr/local/sbin/mecai-install", var.server.url, var.server.sha256, "nats-server"]
}

output "files" {
  description = "nats-server.conf, and for a node of the cluster what restarts it when it stays behind the others."
  value = merge(
    { "/etc/nats/mecai.conf" = local.config },
    {
      for path, content in {
        "/usr/local/sbin/mecai-nats-watch"             = file("${path.module}/nats-watch.sh")
        "/etc/systemd/system/mecai-nats-watch.service" = templatefile("${path.module}/mecai-nats-watch.service.tftpl", { looks = var.watch_looks })
      } : path => content if !var.leaf
    },
  )
}

output "enable" {
  description = "Commands after the files are there: nats-server pulls its watch in."
  value = [
    for command in [
      ["chmod", "0755", "/usr/local/sbin/mecai-nats-watch"],
      ["systemctl", "enable", "mecai-nats-watch"],
    ] : command if !var.leaf
  ]
}

output "drop_in" {
  description = "For the unit of nats-server."
  value       = file("${path.module}/nats-server.drop-in.conf")
}
