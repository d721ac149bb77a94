# What a machine is told at its first start, cloud-init: install the archive, write the configuration, fetch the secrets
# from the cloud's store, start. It needs no provider. Nothing secret passes through here, nor through the state.

terraform {
  required_version = ">= 1.6.0"
}

locals {
  unit = var.archive == null ? var.process : "mecai-${var.process}"
  files = concat(
    [
      { path = "/usr/local/sbin/mecai-install", permissions = "0755", content = file("${path.module}/install-archive.sh") },
      { path = "/usr/local/sbin/mecai-fetch-secret", permissions = "0755", content = file("${path.module}/fetch-secret-${var.secret_store}.sh") },
    ],
    var.config == null ? [] : [{ path = "/etc/mecai/${var.process}.json", permissions = "0644", content = jsonencode(var.config) }],
    var.drop_in == "" ? [] : [{ path = "/etc/systemd/system/${local.unit}.service.d/site.conf", permissions = "0644", content = var.drop_in }],
    [for file_path, content in var.files : { path = file_path, permissions = "0644", content = content }],
  )
  commands = concat(
    var.archive == null ? [] : [["/usr/local/sbin/mecai-install", var.archive.url, var.archive.sha256]],
    [for name, id in var.secrets : ["/usr/local/sbin/mecai-fetch-secret", id, "/etc/mecai/secrets/${name}"]],
    var.commands,
    [["systemctl", "daemon-reload"], ["systemctl", "enable", local.unit], ["systemctl", "restart", local.unit]],
  )
}

output "user_data" {
  description = "cloud-init configuration, for the machine's user data."
  value = templatefile("${path.module}/cloud-config.yaml.tftpl", {
    # Node in the archives takes libatomic from the system; without libbpf systemd passes over SocketBindDeny= in silence.
    packages = concat(["ca-certificates", "chrony", "curl", "jq", "libatomic1", "libbpf1"], var.packages)
    files    = local.files
    commands = local.commands
  })
}
