import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { type Figures, parseFigures } from './figures.ts';
import { type Load, type Prices, planSheet } from './sheet.ts';
import { sheetWords } from './sheet-words.ts';

const load: Load = {
  endpoints: 864_000,
  vouchersPerDay: 1,
  chainOctets: 3_000,
  perspectives: 6,
  peak: 2,
  utilization: 0.5,
  coresPerMachine: 4,
  hsmRate: 10,
  retentionDays: 10,
  certificateDays: 90,
  expiredDays: 30,
};
const figures: Figures = {
  coordinatorMicros: 100_000,
  signerMicros: 200_000,
  sixProbesMicros: 600_000,
  natsMicros: 50_000,
  chainOctets: 1_000,
  probeSentOctets: 500,
  probeReceivedOctets: 1_500,
  observationOctets: 1_500,
  decisionOctets: 2_000,
  auditOctets: 1_000,
  logMicros: 90_000,
  logClientMicros: 40_000,
  certificateOctets: 2_500,
  voucherWalOctets: 10_000,
  certificateWalOctets: 60_000,
  ingestRate: 60,
  storedObservationOctets: 100,
};
const prices: Prices = {
  currency: 'EUR',
  coreHour: 0.1,
  hsmHour: 2,
  egressGigabyte: 0.5,
  storageGigabyteMonth: 0.25,
};

test('by hand: ten vouchers a second, twenty at the peak', () => {
  const sheet = planSheet(load, figures, prices);
  expect(sheet.vouchersPerSecond).toEqual({ mean: 10, peak: 20 });
  expect(sheet.probesPerSecond).toEqual({ mean: 60, peak: 120 });
  // 20 × 0.1 s = 2 busy cores, at 50 % 4; and so on.
  expect(sheet.roles.map(({ role, cores, machines }) => [role, cores, machines])).toEqual([
    ['coordinator', 4, 2],
    ['signer', 8, 2],
    ['probe agent', 24, 8],
    // Three copies.
    ['NATS', 6, 3],
    ['Postgres', 2, 2],
    ['analytics', 12, 3],
  ]);
  expect(sheet.hsm).toEqual({ signaturesPerSecond: 20, devices: 4 });
  expect(sheet.probeTraffic.sent).toBeCloseTo((120 * 500 * 8) / 1e6);
  // The chain is 2,000 octets longer than the bench's.
  expect(sheet.probeTraffic.received).toBeCloseTo((120 * 3_500 * 8) / 1e6);
  const perVoucher = 6 * 3_500 + 2_000;
  expect(sheet.natsTraffic).toBeCloseTo((20 * perVoucher * 5 * 8) / 1e6);
  expect(sheet.storage.observations).toBeCloseTo((60 * 86_400 * 10 * 100 * 3) / 1e12, 9);
  expect(sheet.storage.auditLogPerYear).toBeCloseTo((864_000 * 365 * 1_000) / 1e12, 9);
  // Another certificate after 60 days, kept for 120: two of 2,500 octets and half a chain of 3,000 for each endpoint.
  expect(sheet.storage.certificateLog).toBeCloseTo((864_000 * 2 * 4_000) / 1e12, 9);
  // 20 vouchers a second, and twice one certificate in six seconds.
  expect(sheet.wal).toBeCloseTo(((20 * 10_000 + 60_000 / 3) * 8) / 1e6, 9);
  const words = sheetWords(load, sheet, false);
  expect(words).toContain('Postgres   1.76 Mbit/s of WAL');
  expect(words).toContain('0.00691 TB of certificate log on each Postgres (certificates of 90 days, 30 more');
  const { monthly } = sheet;
  expect(monthly.cores).toBeCloseTo(20 * 4 * 730 * 0.1);
  expect(monthly.hsm).toBeCloseTo(4 * 730 * 2);
  const days = 730 / 24;
  expect(monthly.traffic).toBeCloseTo(((864_000 * (6 * 500 + perVoucher) * days) / 1e9) * 0.5);
  const { observations, auditLogPerYear, certificateLog } = sheet.storage;
  expect(monthly.storage).toBeCloseTo((observations + auditLogPerYear + 2 * certificateLog) * 1000 * 0.25);
  expect(monthly.total).toBeCloseTo(monthly.cores + monthly.hsm + monthly.traffic + monthly.storage);
  expect(monthly.perMillionVouchers).toBeCloseTo((monthly.total / (864_000 * days)) * 1e6);
});

test('Postgres does not spread: its two machines grow', () => {
  const small = planSheet(load, figures, prices);
  const large = planSheet(load, { ...figures, logMicros: 165_000 }, prices);
  // 20 × 0.125 s = 2.5 busy cores, at 50 % 5: two machines of 8 instead of two of 4.
  expect(large.roles.find(({ role }) => role === 'Postgres')).toMatchObject({ cores: 5, machines: 2 });
  expect(large.monthly.cores - small.monthly.cores).toBeCloseTo(2 * 4 * 730 * 0.1);
});

test('the smallest authority has what survives the loss of a machine, and a quorum', () => {
  const { roles, hsm } = planSheet({ ...load, endpoints: 1 }, figures, prices);
  expect(Object.fromEntries(roles.map(({ role, machines }) => [role, machines]))).toEqual({
    coordinator: 2,
    signer: 2,
    'probe agent': 8,
    NATS: 3,
    Postgres: 2,
    analytics: 3,
  });
  expect(hsm.devices).toBe(2);
});

describe('figures', () => {
  const one = (bench: string, figure: string, value: unknown) =>
    JSON.stringify({ bench, figure, value, unit: 'µs' });

  test('what is missing is named', () => {
    expect(() => parseFigures('')).toThrow(
      'bench network does not tell "six agents in six processes: CPU of',
    );
  });

  test('in words or in JSON, the last run counts; peers and progress are passed over', () => {
    const kept = readFileSync(join(import.meta.dirname, 'figures.jsonl'), 'utf8');
    const later = [
      '450000 published',
      'analytics the same: 12345 per CPU second  (engine fed JSON: 66730 per CPU second, ratio 0.185)',
      'network   six agents in six processes: CPU of signer: 987.6 µs per voucher  (the libraries: 4 µs, ratio 2)',
      'network   six agents in six processes: CPU of signer: 5 ms',
    ];
    const found = parseFigures([kept, ...later].join('\n'));
    expect(found).toEqual({ ...parseFigures(kept), ingestRate: 12_345, signerMicros: 987.6 });
  });

  test('what is no figure is named', () => {
    expect(() => parseFigures(`${one('x', 'y', 1)}\n${one('x', 'y', -1)}`)).toThrow('line 2 is no figure');
    expect(() => parseFigures('{')).toThrow('line 1 is no figure');
  });
});
