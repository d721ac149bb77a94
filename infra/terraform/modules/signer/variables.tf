variable "machines" {
  type    = number
  default = 2
}

variable "archive" {
  description = "Archive of the signer."
  type        = object({ url = string, sha256 = string })
}

variable "vpc_id" {
  type = string
}

variable "subnet_ids" {
  description = "Private subnets in two availability zones: an HSM in each."
  type        = list(string)

  validation {
    condition     = length(distinct(var.subnet_ids)) >= 2
    error_message = "subnet_ids: two zones at least; a single HSM that is lost takes the key with it."
  }
}

variable "instance_type" {
  type    = string
  default = "c7i.large"
}

variable "id" {
  description = "SPIFFE ID of the signers; each adds its number: <id>-1, <id>-2."
  type        = string
}

variable "coordinators" {
  description = "SPIFFE IDs that may ask."
  type        = list(string)
}

variable "operators" {
  description = "SPIFFE IDs that may command."
  type        = list(string)

  validation {
    condition     = length(setintersection(var.operators, var.coordinators)) == 0
    error_message = "operators: an operator that is a coordinator."
  }
}

variable "coordinator_cidrs" {
  description = "Where coordinators are."
  type        = list(string)
}

variable "operator_cidrs" {
  description = "Where operators and monitoring are."
  type        = list(string)
}

variable "monitoring_cidrs" {
  description = "Who fetches metrics."
  type        = list(string)
  default     = []
}

variable "hsm_cidrs" {
  description = "Where the HSMs are, if they are on the network."
  type        = list(string)
}

variable "setup_cidrs" {
  description = "Where a signer may connect to: everywhere (0.0.0.0/0) while packages and the archive are fetched, afterwards the network of the HSMs and of the secret store's endpoint."
  type        = list(string)
}

variable "hsm" {
  description = "Members laid over `hsm` of the configuration."
  type        = map(string)
  default     = {}
}

variable "hsm_commands" {
  description = "Programs and arguments that install the HSM's PKCS #11 module; {hsm} stands for the address of the first HSM, as in [\"/opt/cloudhsm/bin/configure-pkcs11\", \"-a\", \"{hsm}\"]. The cluster's certificate comes from the secret hsm-ca.pem."
  type        = list(list(string))
  default     = []
}

variable "registry" {
  description = "Output of module quorum-geography."
  type        = string
}

variable "quorum" {
  description = "Output of module quorum-geography."
  type        = any
}

variable "registry_key" {
  description = "Public key that signs updates of the registry, PEM."
  type        = string
}

variable "own_ca" {
  description = "Certificates of the CA that runs this VA, PEM."
  type        = string
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

variable "hsms" {
  description = "HSMs in the cluster: 1 until it is initialized and activated (AWS refuses a second one before), then one for each subnet."
  type        = number

  validation {
    condition     = var.hsms >= 1 && var.hsms <= length(var.subnet_ids)
    error_message = "hsms: from 1 to the number of subnets."
  }
}

variable "zone_id" {
  description = "Route 53 zone of internal names."
  type        = string
}

variable "zone_name" {
  type = string
}
