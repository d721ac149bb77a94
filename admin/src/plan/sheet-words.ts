import type { Load, Sheet } from './sheet.ts';

/** A number people can read: three digits that count, and thousands set apart. */
function shown(value: number): string {
  if (value === 0) return '0';
  const rounded = value >= 1000 ? Math.round(value) : Number(value.toPrecision(3));
  return rounded.toLocaleString('en-US', { maximumFractionDigits: 9 }).replaceAll(',', ' ');
}

export function sheetWords(load: Load, sheet: Sheet, examplePrices: boolean): string {
  const { vouchersPerSecond, probesPerSecond, roles, hsm, probeTraffic, natsTraffic, wal, storage, monthly } =
    sheet;
  const row = (...cells: readonly string[]) =>
    cells.map((cell, i) => (i === 0 ? cell.padEnd(14) : cell.padStart(10))).join('');
  const money = (value: number) => `${shown(value)} ${monthly.currency}`.padStart(18);
  return [
    `${shown(load.endpoints)} endpoints, ${shown(load.vouchersPerDay)} vouchers a day each, ` +
      `${load.perspectives} perspectives a voucher, one voucher authority`,
    '',
    `vouchers   ${shown(vouchersPerSecond.mean)} a second, ${shown(vouchersPerSecond.peak)} at the peak`,
    `probes     ${shown(probesPerSecond.mean)} a second, ${shown(probesPerSecond.peak)} at the peak`,
    '',
    row('role', 'cores', 'machines'),
    ...roles.map(({ role, cores, machines }) => row(role, shown(cores), shown(machines))),
    row('HSM', '', shown(hsm.devices)),
    '',
    `HSM        ${shown(hsm.signaturesPerSecond)} signatures a second at the peak`,
    `probes     ${shown(probeTraffic.sent)} Mbit/s sent and ${shown(probeTraffic.received)} received at the peak, all regions, without TCP's and IP's own`,
    `NATS       ${shown(natsTraffic)} Mbit/s at the peak, all servers`,
    `Postgres   ${shown(wal)} Mbit/s of WAL at the peak, to the primary's disk and to each standby`,
    `storage    ${shown(storage.observations)} TB of observations (${load.retentionDays} days, 3 copies), ` +
      `${shown(storage.auditLogPerYear)} TB of audit log a year,`,
    `           ${shown(storage.certificateLog)} TB of certificate log on each Postgres (certificates of ${load.certificateDays} days, ` +
      `${load.expiredDays} more once expired)`,
    '',
    `a month    ${money(monthly.cores)}   machines of ${load.coresPerMachine} cores (each of Postgres as large as its cores ask)`,
    `           ${money(monthly.hsm)}   HSMs`,
    `           ${money(monthly.traffic)}   traffic sent`,
    `           ${money(monthly.storage)}   storage`,
    `           ${money(monthly.total)}   in all: ${shown(monthly.perMillionVouchers)} ${monthly.currency} a million vouchers`,
    '',
    'Of NATS and analytics each of three copies is reckoned like the only one of the benches. Postgres is a primary and a',
    'standby, and each has to do all of it. A page goes whole into its WAL when it changes first after a checkpoint: here all',
    'do, uncompressed. Not reckoned: what Postgres reads from its disk, vacuum, notices, backups, and what the way of the WAL to',
    'the standby costs. HSMs are added to signers: a signer has one, or a share of a cluster.',
    `At the peak a core is ${shown(load.utilization * 100)} % busy, and one HSM makes ${shown(load.hsmRate)} signatures a second.`,
    examplePrices
      ? 'Prices are examples, in the range of what clouds ask: give yours with --prices.'
      : 'Prices as given.',
    'CPU and octets are what the benches measured; --figures takes those of your machines.',
  ].join('\n');
}
