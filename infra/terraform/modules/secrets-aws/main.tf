# Secrets of one machine on AWS. Apart from the machine (instance-aws), whose user data names them: with both in one module
# that is called with a count, each would wait for the other.

terraform {
  required_version = ">= 1.6.0"
  required_providers {
    aws = { source = "hashicorp/aws", version = ">= 6.0, < 7.0" }
  }
}

variable "machine" {
  description = "Name of the machine."
  type        = string
}

variable "names" {
  description = "Names of the secrets to make room for."
  type        = set(string)
}

# Containers only: the operator puts the values there, so that they are in no state.
resource "aws_secretsmanager_secret" "own" {
  for_each    = var.names
  name_prefix = "${var.machine}-${each.key}-"
  description = "${each.key} of ${var.machine}"
}

output "secrets" {
  description = "Where the operator puts the secrets: ARN by name."
  value       = { for name, secret in aws_secretsmanager_secret.own : name => secret.arn }
}
