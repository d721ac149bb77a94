# Prometheus with the alert rules of infra/monitoring; the dashboard beside them is for your Grafana.

terraform {
  required_version = ">= 1.6.0"
  required_providers {
    aws = { source = "hashicorp/aws", version = ">= 6.0, < 7.0" }
  }
}

variable "vpc_id" {
  type = string
}

variable "subnet_id" {
  type = string
}

variable "instance_type" {
  type    = string
  default = "m7i.large"
}

variable "targets" {
  description = "Admin addresses, host:port, by job: coordinator, signer, probe-agent, analytics, campaigns."
  type        = map(list(string))
}

variable "alertmanagers" {
  description = "host:port. Whom alerts reach, they decide."
  type        = list(string)

  validation {
    condition     = length(var.alertmanagers) > 0
    error_message = "alertmanagers: without any nobody hears of an alert."
  }
}

variable "viewer_cidrs" {
  description = "Who may ask Prometheus: Grafana, operators."
  type        = list(string)
}

variable "ssh" {
  description = "Public key of the operators, OpenSSH, and where they come from."
  type        = object({ public_key = string, cidrs = list(string) })
}

locals {
  config = yamlencode({
    global         = { scrape_interval = "15s", evaluation_interval = "15s" }
    rule_files     = ["/etc/prometheus/mecai-alerts.yaml"]
    alerting       = { alertmanagers = [{ static_configs = [{ targets = var.alertmanagers }] }] }
    scrape_configs = [for job, targets in var.targets : { job_name = job, static_configs = [{ targets = targets }] }]
  })
}

module "machine" {
  source       = "../machine"
  process      = "prometheus"
  packages     = ["prometheus"]
  secret_store = "aws"
  files = {
    "/etc/prometheus/prometheus.yml"    = local.config
    "/etc/prometheus/mecai-alerts.yaml" = file("${path.module}/../../../monitoring/alerts.yaml")
  }
}

module "instance" {
  source               = "../instance-aws"
  name                 = "mecai-monitoring"
  ssh                  = var.ssh
  vpc_id               = var.vpc_id
  subnet_id            = var.subnet_id
  instance_type        = var.instance_type
  user_data            = module.machine.user_data
  volume_gigabytes     = 100
  fixed_public_address = true
  ingress              = [for cidr in var.viewer_cidrs : { port = 9090, cidr = cidr }]
}

output "address" {
  description = "Where it comes from when it fetches metrics."
  value       = module.instance.public_address
}
