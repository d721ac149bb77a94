# What a machine is told at its first start, cloud-init: install the archive, write the configuration, fetch the secrets
# from the cloud's store, start. It needs no provider. Nothing secret passes through here, nor through the state.

terraform {
  required_version = ">= 1.6.0"
}

locals {
  unit      = var.archive == null ? var.process : "mecai-${var.process}"
  refreshes = var.secret_store != "host" && length(var.secrets) > 0
  secrets   = [for name, id in var.secrets : [id, "/etc/mecai/secrets/${name}"]]
  # Node in the archives takes libatomic from the system; without libbpf systemd passes over SocketBindDeny= in silence.
  packages = concat(["ca-certificates", "chrony", "curl", "jq", "libatomic1", "libbpf1"], var.packages)
  # Not left to cloud-init, which tries once, maybe before there is a way out. Files of configuration are there already.
  install = "apt-get -q update && DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=600 -o Dpkg::Options::=--force-confold install \"$@\""
  commands = concat(
    [concat(["sh", "-c", local.install, "apt-get"], local.packages)],
    var.archive == null ? [] : [["/usr/local/sbin/mecai-install", var.archive.url, var.archive.sha256]],
    [for secret in local.secrets : concat(["/usr/local/sbin/mecai-fetch-secret"], secret)],
    # Before the process starts: with a wrong secret it may not.
    local.refreshes ? [["systemctl", "enable", "--now", "mecai-refresh-secrets.timer"]] : [],
    var.commands,
    [["systemctl", "daemon-reload"], ["systemctl", "enable", local.unit], ["systemctl", "restart", local.unit]],
  )
  # Each word as the shell takes it unchanged: between single quotes, and those between double ones.
  shell = { for name, lists in { steps = local.commands, secrets = local.secrets, refreshed = var.refreshed } : name => [
    for words in lists : join(" ", [for word in words : join("", ["'", replace(word, "'", "'\"'\"'"), "'"])])
  ] }

  programs = merge(
    {
      "mecai-install" = file("${path.module}/install-archive.sh")
      # cloud-init runs its commands once, and goes on after one that failed.
      "mecai-first-boot" = templatefile("${path.module}/first-boot.sh.tftpl", {
        steps = join("\n", [for i, step in local.shell.steps : "step ${i + 1} ${step}"])
      })
    },
    var.secret_store == "host" ? { "mecai-fetch-secret" = file("${path.module}/fetch-secret-host.sh") } : {
      "mecai-fetch-secret"                              = file("${path.module}/fetch-secret.sh")
      "mecai-read-secret"                               = file("${path.module}/read-secret-${var.secret_store}.sh")
      "mecai-refresh-secrets" = templatefile("${path.module}/refresh-secrets.sh.tftpl", {
        secrets   = join("\n", [for secret in local.shell.secrets : "refresh ${secret}"])
        refreshed = join("\n", local.shell.refreshed)
      })
    },
  )
  units = merge(
    { "mecai-first-boot.service" = file("${path.module}/first-boot.service") },
    {
      for suffix in ["service", "timer"] :
      "mecai-refresh-secrets.${suffix}" => file("${path.module}/refresh-secrets.${suffix}") if local.refreshes
    },
  )
  files = concat(
    [for name, content in local.programs : { path = "/usr/local/sbin/${name}", permissions = "0755", content = content }],
    [for name, content in local.units : { path = "/etc/systemd/system/${name}", permissions = "0644", content = content }],
    var.config == null ? [] : [{ path = "/etc/mecai/${var.process}.json", permissions = "0644", content = jsonencode(var.config) }],
    var.drop_in == "" ? [] : [{ path = "/etc/systemd/system/${local.unit}.service.d/site.conf", permissions = "0644", content = var.drop_in }],
    [for file_path, content in var.files : { path = file_path, permissions = "0644", content = content }],
  )
}

output "user_data" {
  description = "cloud-init configuration, for the machine's user data."
  value = templatefile("${path.module}/cloud-config.yaml.tftpl", {
    files = local.files
    commands = [
      # Of another machine, when this one's disk is a copy.
      ["rm", "-rf", "/var/lib/mecai-first-boot"],
      ["systemctl", "daemon-reload"],
      ["systemctl", "enable", "mecai-first-boot"],
      ["systemctl", "start", "--no-block", "mecai-first-boot"],
    ]
  })
}
