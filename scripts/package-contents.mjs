/**
 * What the archive of each process has besides Node, the licence and its example configuration.
 *
 * main: entry; native: modules with native parts, beside the bundle; build: script to run before; files: [from, to];
 * units: systemd units.
 */
const chdb = ['chdb', '@clickhouse/client-common', `@chdb/lib-${process.platform}-${process.arch}-gnu`];

/** Scripts of the runbooks. */
const scripts = (...names) => names.map((name) => [`docs/operate/${name}`, `operate/${name}`]);

export const processes = {
  coordinator: {
    main: 'coordinator/src/main.ts',
    files: scripts('backup-database.sh'),
    units: ['infra/systemd/mecai-coordinator.service'],
  },
  'probe-agent': {
    main: 'probe-agent/src/main.ts',
    units: ['infra/systemd/mecai-probe-agent.service', 'infra/systemd/mecai-probe-agent-join.service'],
  },
  signer: {
    main: 'signer/src/main.ts',
    native: ['pkcs11js'],
    files: scripts('backup-audit-log.sh'),
    units: ['mecai-signer.service', 'mecai-signer-backup.service', 'mecai-signer-backup.timer'].map(
      (unit) => `infra/systemd/${unit}`,
    ),
  },
  analytics: {
    main: 'analytics/src/main.ts',
    native: chdb,
    build: 'analytics/src/build-dashboard.ts',
    files: [['analytics/dashboard/dist', 'dashboard/dist']],
    units: ['infra/systemd/mecai-analytics.service'],
  },
  campaigns: { main: 'analytics/src/campaigns/main.ts', units: ['infra/systemd/mecai-campaigns.service'] },
  client: {
    main: 'client/src/main.ts',
    units: ['mecai-staple.service', 'mecai-staple-once.service', 'mecai-staple-once.timer'].map(
      (unit) => `client/systemd/${unit}`,
    ),
  },
  admin: {
    main: 'admin/src/main.ts',
    files: scripts('backup-database.sh', 'restore-drill.sh', 'follow-to-zero.sh', 'nats-current.sh'),
  },
};
