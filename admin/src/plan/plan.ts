/** `mecai-admin plan`: what a voucher authority needs before there is one. Talks to nobody. */
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { PlacementError } from '@mecai/placement';
import * as z from 'zod';
import type { Command } from '../admin.ts';
import { AdminError } from '../error.ts';
import { parseFigures } from './figures.ts';
import { placement, placementWords } from './placement.ts';
import { planSheet } from './sheet.ts';
import { sheetWords } from './sheet-words.ts';

const usage = `usage: mecai-admin plan sheet [options]       machines, bandwidth, HSM operations, storage and cost

  --endpoints <n>            server certificates that ask for vouchers (700e6: the whole web)
  --vouchers-per-day <n>     for each of them (2)
  --chain-octets <n>         certificates that a server sends, together (3500)
  --perspectives <n>         probes for each voucher (6)
  --peak <n>                 the busiest second against the mean (2)
  --utilization <share>      of a core, at the peak (0.6)
  --cores-per-machine <n>    (8)
  --hsm-rate <n>             P-256 signatures a second of one HSM, from its data sheet (1000)
  --retention-days <n>       observations in ClickHouse (90)
  --certificate-days <n>     that a certificate is valid; it is renewed after two thirds of them (90)
  --expired-days <n>         that an expired one stays in the certificate log: certificateLog.keepExpiredMs (90)
  --figures <file>           output of \`npm run bench -- network log analytics\` on your machines
  --prices <file>            { "currency", "coreHour", "hsmHour", "egressGigabyte", "storageGigabyteMonth" }

usage: mecai-admin plan placement [options]   the share of BGP hijacks that the quorum resists

  --as-rel <file>            AS graph in CAIDA's as-rel format, or
  --synthetic <n>            an internet of so many ASes made from the seed (70000)
  --sites <file>             a registry file, or { "sites": [{ "name", "city", "country", "latitude", "longitude",
                             "rir", "asn" }] }; a synthetic internet comes with some
  --attacks <n>              of each kind (1000)
  --seed <n>                 the same seed, the same result (1)
  --rov <share>              ASes that drop what RPKI calls invalid (0)
  --search <n>               look for better sets of so many sites

  --json                     one JSON object`;

const options = {
  json: { type: 'boolean' },
  endpoints: { type: 'string' },
  'vouchers-per-day': { type: 'string' },
  'chain-octets': { type: 'string' },
  perspectives: { type: 'string' },
  peak: { type: 'string' },
  utilization: { type: 'string' },
  'cores-per-machine': { type: 'string' },
  'hsm-rate': { type: 'string' },
  'retention-days': { type: 'string' },
  'certificate-days': { type: 'string' },
  'expired-days': { type: 'string' },
  figures: { type: 'string' },
  prices: { type: 'string' },
  'as-rel': { type: 'string' },
  synthetic: { type: 'string' },
  sites: { type: 'string' },
  attacks: { type: 'string' },
  seed: { type: 'string' },
  rov: { type: 'string' },
  search: { type: 'string' },
} as const;

const parse = (args: readonly string[]) => parseArgs({ args: [...args], options, allowPositionals: true });
type Values = ReturnType<typeof parse>['values'];

/** Round figures in the range of what clouds ask; a plan for real needs the operator's own. */
const examplePrices = {
  currency: 'USD',
  coreHour: 0.04,
  hsmHour: 1.5,
  egressGigabyte: 0.05,
  storageGigabyteMonth: 0.05,
};
const price = z.number().nonnegative();
const prices = z.strictObject({
  currency: z.string().min(1).max(8),
  coreHour: price,
  hsmHour: price,
  egressGigabyte: price,
  storageGigabyteMonth: price,
});

export const plan: Command = {
  summary: 'machines and cost; where perspectives should be',
  usage,
  run(args) {
    const { values, positionals } = parse(args);
    const [what, ...rest] = positionals;
    if (rest.length > 0 || (what !== 'sheet' && what !== 'placement'))
      throw misused('plan sheet or plan placement');
    if (what === 'sheet') sheet(values);
    else place(values);
    return Promise.resolve();
  },
};

function sheet(values: Values): void {
  const integer = (name: keyof Values, low: number, high: number, otherwise?: number) =>
    number(values, name, low, high, otherwise, true);
  const load = {
    endpoints: integer('endpoints', 1, 1e10),
    vouchersPerDay: number(values, 'vouchers-per-day', 0.01, 1000, 2),
    chainOctets: integer('chain-octets', 500, 100_000, 3_500),
    perspectives: integer('perspectives', 2, 100, 6),
    peak: number(values, 'peak', 1, 100, 2),
    utilization: number(values, 'utilization', 0.05, 1, 0.6),
    coresPerMachine: integer('cores-per-machine', 1, 1024, 8),
    hsmRate: number(values, 'hsm-rate', 1, 1e7, 1_000),
    retentionDays: number(values, 'retention-days', 0, 36_500, 90),
    certificateDays: number(values, 'certificate-days', 1, 825, 90),
    expiredDays: number(values, 'expired-days', 0, 3_650, 90),
  };
  const figures = parseFigures(
    readFileSync(values.figures ?? new URL('figures.jsonl', import.meta.url), 'utf8'),
  );
  const asked = values.prices === undefined ? examplePrices : readPrices(values.prices);
  const result = planSheet(load, figures, asked);
  console.log(
    values.json
      ? JSON.stringify({ load, figures, prices: asked, ...result })
      : sheetWords(load, result, values.prices === undefined),
  );
}

function readPrices(file: string) {
  try {
    return prices.parse(JSON.parse(readFileSync(file, 'utf8')));
  } catch (cause) {
    if (cause instanceof SyntaxError) throw misused(`${file}: not JSON`);
    if (cause instanceof z.ZodError) throw misused(`${file}: ${z.prettifyError(cause)}`);
    throw cause;
  }
}

function place(values: Values): void {
  if (values['as-rel'] !== undefined && values.synthetic !== undefined) {
    throw misused('--as-rel or --synthetic, not both');
  }
  try {
    const [began, busyBefore] = [performance.now(), process.cpuUsage()];
    const answer = placement(
      {
        graph: values['as-rel'] ?? number(values, 'synthetic', 50, 200_000, 70_000, true),
        sites: values.sites,
        attacks: number(values, 'attacks', 1, 1e6, 1_000, true),
        seed: number(values, 'seed', 0, 0xffff_ffff, 1, true),
        validatingShare: number(values, 'rov', 0, 1, 0),
        search: number(values, 'search', 0, 1_000, 0, true),
      },
      (line) => {
        if (!values.json) console.error(line);
      },
    );
    const { user, system } = process.cpuUsage(busyBefore);
    const [seconds, busy] = [(performance.now() - began) / 1_000, (user + system) / 1e6];
    const all = answer.kinds.length * answer.attacks;
    if (!values.json) console.error(`${all} attacks in ${seconds.toFixed(1)} s, ${busy.toFixed(1)} s of CPU`);
    console.log(values.json ? JSON.stringify(answer) : placementWords(answer));
  } catch (error) {
    if (error instanceof PlacementError) throw new AdminError('wrong-usage', error.message, { cause: error });
    throw error;
  }
}

/** @throws AdminError `wrong-usage` for no number, one out of range, or none where there is no default */
function number(
  values: Values,
  name: keyof Values,
  low: number,
  high: number,
  otherwise?: number,
  whole = false,
): number {
  const text = values[name];
  if (typeof text !== 'string') {
    if (otherwise === undefined) throw misused(`--${name} is missing`);
    return otherwise;
  }
  const value = /^\d+(\.\d+)?(e\d+)?$/i.test(text) ? Number(text) : Number.NaN;
  if (!(value >= low && value <= high) || (whole && !Number.isInteger(value))) {
    throw misused(`--${name}: ${whole ? 'an integer' : 'a number'} from ${low} to ${high}`);
  }
  return value;
}

const misused = (why: string) => new AdminError('wrong-usage', why);
