# A perspective in one zone of Google Cloud, which is also where AWS is not: another network, another company.

terraform {
  required_version = ">= 1.6.0"
  required_providers {
    google = { source = "hashicorp/google", version = ">= 6.0, < 8.0" }
  }
}

locals {
  region = substr(var.zone, 0, length(var.zone) - 2)
}

module "host" {
  source          = "../perspective-host"
  name            = var.name
  place           = var.place
  nats_servers    = var.nats_servers
  archive         = var.archive
  secret_store    = "google"
  join_token      = google_secret_manager_secret.join_token.name
  coordinator_url = var.coordinator_url
  nats_ca         = var.nats_ca
  files           = var.files
  telemetry       = var.telemetry
  config          = var.config
}

resource "google_service_account" "machine" {
  project      = var.project
  account_id   = "mecai-${substr(var.name, 0, 24)}"
  display_name = "MECAI perspective ${var.name}"
}

# Its value is put there by the operator, so that it is in no state.
resource "google_secret_manager_secret" "join_token" {
  project   = var.project
  secret_id = "mecai-${var.name}-join"
  replication {
    auto {}
  }
}

resource "google_secret_manager_secret_iam_member" "machine" {
  project   = var.project
  secret_id = google_secret_manager_secret.join_token.secret_id
  role      = "roles/secretmanager.secretAccessor"
  member    = "serviceAccount:${google_service_account.machine.email}"
}

resource "google_compute_address" "machine" {
  project = var.project
  name    = "mecai-${var.name}"
  region  = local.region
}

# Not Google's network `default`, whose rules let everybody in by ssh.
resource "google_compute_network" "own" {
  project                 = var.project
  name                    = "mecai-${var.name}"
  auto_create_subnetworks = false
}

resource "google_compute_subnetwork" "own" {
  project       = var.project
  name          = "mecai-${var.name}"
  region        = local.region
  network       = google_compute_network.own.id
  ip_cidr_range = "10.128.0.0/24"
}

resource "google_compute_firewall" "metrics" {
  count         = length(var.monitoring_cidrs) > 0 ? 1 : 0
  project       = var.project
  name          = "mecai-${var.name}-metrics"
  network       = google_compute_network.own.id
  source_ranges = var.monitoring_cidrs
  target_tags   = ["mecai-${var.name}"]
  allow {
    protocol = "tcp"
    ports    = ["9102"]
  }
}

resource "google_compute_firewall" "ssh" {
  count         = length(var.ssh.cidrs) > 0 ? 1 : 0
  project       = var.project
  name          = "mecai-${var.name}-ssh"
  network       = google_compute_network.own.id
  source_ranges = var.ssh.cidrs
  target_tags   = ["mecai-${var.name}"]
  allow {
    protocol = "tcp"
    ports    = ["22"]
  }
}

resource "google_compute_instance" "machine" {
  project      = var.project
  name         = "mecai-${var.name}"
  zone         = var.zone
  machine_type = var.machine_type
  tags         = ["mecai-${var.name}"]

  boot_disk {
    initialize_params {
      # With cloud-init; Google's own Debian images have none.
      image = var.image
    }
  }
  network_interface {
    subnetwork = google_compute_subnetwork.own.id
    access_config {
      nat_ip = google_compute_address.machine.address
    }
  }
  service_account {
    email  = google_service_account.machine.email
    scopes = ["cloud-platform"]
  }
  shielded_instance_config {
    enable_secure_boot = true
  }
  metadata = {
    user-data              = module.host.user_data
    block-project-ssh-keys = "TRUE"
    ssh-keys               = "operator:${var.ssh.public_key}"
  }
  allow_stopping_for_update = true
}

output "perspective" {
  description = "For module quorum-geography, by name."
  value       = module.host.perspective
}

output "address" {
  description = "Where targets see it come from."
  value       = google_compute_address.machine.address
}

output "join_token_secret" {
  description = "Where the operator puts the join token."
  value       = google_secret_manager_secret.join_token.name
}
