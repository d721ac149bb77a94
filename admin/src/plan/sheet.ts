/** From a load to machines, bandwidth, HSM operations, storage and cost. Arithmetic only; every factor is an argument. */
import type { Figures } from './figures.ts';

export interface Load {
  /** Server certificates that ask for vouchers. */
  readonly endpoints: number;
  /** For each of them. */
  readonly vouchersPerDay: number;
  /** Certificates that a server sends, together. */
  readonly chainOctets: number;
  /** Probes for each voucher. */
  readonly perspectives: number;
  /** The busiest second against the mean one; staplers spread their requests. */
  readonly peak: number;
  /** Of a core, at the peak: the rest is for the loss of a machine. */
  readonly utilization: number;
  readonly coresPerMachine: number;
  /** P-256 signatures a second of one HSM, from its data sheet. */
  readonly hsmRate: number;
  /** Days that observations are kept in ClickHouse. */
  readonly retentionDays: number;
  /** Days that a certificate is valid; a server has another after two thirds of them. */
  readonly certificateDays: number;
  /** Days that an expired certificate stays in the certificate log. */
  readonly expiredDays: number;
}

export interface Prices {
  readonly currency: string;
  readonly coreHour: number;
  readonly hsmHour: number;
  /** Of traffic that leaves. */
  readonly egressGigabyte: number;
  readonly storageGigabyteMonth: number;
}

export interface Role {
  readonly role: 'coordinator' | 'signer' | 'probe agent' | 'NATS' | 'Postgres' | 'analytics';
  readonly cores: number;
  readonly machines: number;
  /** Fewer would not survive the loss of one, or not make a quorum. */
  readonly atLeast: number;
}

export interface Sheet {
  readonly vouchersPerSecond: { readonly mean: number; readonly peak: number };
  readonly probesPerSecond: { readonly mean: number; readonly peak: number };
  readonly roles: readonly Role[];
  readonly hsm: { readonly signaturesPerSecond: number; readonly devices: number };
  /** Megabits a second at the peak, of all agents together. */
  readonly probeTraffic: { readonly sent: number; readonly received: number };
  /** Megabits a second at the peak through NATS, in and out. */
  readonly natsTraffic: number;
  /** Megabits a second at the peak, to the disk of the primary and to each standby. */
  readonly wal: number;
  /** Terabytes. */
  readonly storage: {
    readonly observations: number;
    readonly auditLogPerYear: number;
    /** In Postgres, of one copy. */
    readonly certificateLog: number;
  };
  readonly monthly: {
    readonly currency: string;
    readonly cores: number;
    readonly hsm: number;
    readonly traffic: number;
    readonly storage: number;
    readonly total: number;
    readonly perMillionVouchers: number;
  };
}

const secondsPerDay = 86_400;
const hoursPerMonth = 730;
const daysPerMonth = hoursPerMonth / 24;
/** Copies of what JetStream and ClickHouse hold. */
const replicas = 3;
/** A primary and a standby. */
const postgresCopies = 2;

export function planSheet(load: Load, figures: Figures, prices: Prices): Sheet {
  const mean = (load.endpoints * load.vouchersPerDay) / secondsPerDay;
  const peak = mean * load.peak;
  const probes = peak * load.perspectives;
  const role = (name: Role['role'], busyCores: number, atLeast: number): Role => {
    const cores = busyCores / load.utilization;
    return {
      role: name,
      cores,
      machines: Math.max(atLeast, Math.ceil(cores / load.coresPerMachine)),
      atLeast,
    };
  };
  const probeMicros = figures.sixProbesMicros / 6;
  const roles = [
    role('coordinator', (peak * figures.coordinatorMicros) / 1e6, 2),
    role('signer', (peak * figures.signerMicros) / 1e6, 2),
    role('probe agent', (probes * probeMicros) / 1e6, load.perspectives + 2),
    // Most of what NATS does, it does for observations. At most, each node does what the only one of the bench does.
    role('NATS', (replicas * peak * figures.natsMicros * load.perspectives) / 6 / 1e6, replicas),
    // Cannot be spread over machines: a primary, and a standby like it.
    {
      ...role('Postgres', (peak * (figures.logMicros - figures.logClientMicros)) / 1e6, postgresCopies),
      machines: postgresCopies,
    },
    // Sinks with the engine, which merges every copy on its own.
    role('analytics', (replicas * probes) / figures.ingestRate, replicas),
  ];
  const coresOf = ({ role: name, machines, cores }: Role) =>
    machines * load.coresPerMachine * (name === 'Postgres' ? Math.ceil(cores / load.coresPerMachine) : 1);
  const devices = Math.max(2, Math.ceil(peak / load.utilization / load.hsmRate));
  // What a chain longer than the bench's adds.
  const longer = load.chainOctets - figures.chainOctets;
  const megabits = (octetsPerSecond: number) => (octetsPerSecond * 8) / 1e6;
  const perVoucher = (figures.observationOctets + longer) * load.perspectives + figures.decisionOctets;
  const observations =
    (mean *
      load.perspectives *
      secondsPerDay *
      load.retentionDays *
      figures.storedObservationOctets *
      replicas) /
    1e12;
  const auditLogPerYear = (mean * secondsPerDay * 365 * figures.auditOctets) / 1e12;
  const renewedDays = (load.certificateDays * 2) / 3;
  const kept = (load.endpoints * (load.certificateDays + load.expiredDays)) / renewedDays;
  // The leaf is about half of a chain.
  const certificateLog = (kept * (figures.certificateOctets + load.chainOctets / 2)) / 1e12;
  const newCertificates = (load.peak * load.endpoints) / (renewedDays * secondsPerDay);

  const machineCores = roles.reduce((sum, one) => sum + coresOf(one), 0);
  const sentPerMonth =
    (mean * load.perspectives * figures.probeSentOctets + mean * perVoucher) * secondsPerDay * daysPerMonth;
  const cost = {
    cores: machineCores * hoursPerMonth * prices.coreHour,
    hsm: devices * hoursPerMonth * prices.hsmHour,
    traffic: (sentPerMonth / 1e9) * prices.egressGigabyte,
    storage:
      (observations + auditLogPerYear + postgresCopies * certificateLog) * 1000 * prices.storageGigabyteMonth,
  };
  const total = cost.cores + cost.hsm + cost.traffic + cost.storage;
  return {
    vouchersPerSecond: { mean, peak },
    probesPerSecond: { mean: mean * load.perspectives, peak: probes },
    roles,
    hsm: { signaturesPerSecond: peak, devices },
    probeTraffic: {
      sent: megabits(probes * figures.probeSentOctets),
      received: megabits(probes * (figures.probeReceivedOctets + longer)),
    },
    // In once, out to the coordinator, to the replicas and to analytics.
    natsTraffic: megabits(peak * perVoucher * (1 + 1 + (replicas - 1) + 1)),
    wal: megabits(peak * figures.voucherWalOctets + newCertificates * figures.certificateWalOctets),
    storage: { observations, auditLogPerYear, certificateLog },
    monthly: {
      currency: prices.currency,
      ...cost,
      total,
      perMillionVouchers: (total / (mean * secondsPerDay * daysPerMonth)) * 1e6,
    },
  };
}
