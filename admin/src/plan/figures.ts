/** What the project's own benches measured, as `npm run bench -- network log analytics` prints it, with or without `--json`. */
import * as z from 'zod';
import { AdminError } from '../error.ts';

const figure = z.object({
  bench: z.string(),
  figure: z.string(),
  value: z.number().positive(),
  unit: z.string(),
});
export type Figure = z.output<typeof figure>;

/** Bench, figure and unit as the benches print them; every one of them is needed. */
const wanted = {
  coordinatorMicros: ['network', 'six agents in six processes: CPU of coordinator', 'µs per voucher'],
  signerMicros: ['network', 'six agents in six processes: CPU of signer', 'µs per voucher'],
  /** Of six probes, each with its observation signed and published. */
  sixProbesMicros: ['network', 'six agents in six processes: CPU of agents', 'µs per voucher'],
  natsMicros: ['network', 'six agents in six processes: CPU of NATS', 'µs per voucher'],
  /** Of the bench's own; those of the web are longer. */
  chainOctets: ['network', 'octets of the chain', 'octets'],
  probeSentOctets: ['network', 'octets of one probe, sent', 'octets'],
  probeReceivedOctets: ['network', 'octets of one probe, received', 'octets'],
  observationOctets: ['network', 'octets of one observation in JetStream', 'octets'],
  decisionOctets: ['network', 'octets of one decision record in JetStream', 'octets'],
  auditOctets: ['network', 'octets of the audit log', 'octets per voucher'],
  /** Of the certificate log with five million certificates on Postgres, and what of it is not Postgres itself. */
  logMicros: ['log', 'postgres: and with the server', 'µs'],
  logClientMicros: ['log', 'postgres: CPU of the log in the coordinator, per voucher', 'µs'],
  /** Of the tables of the certificate log and their indexes, without the certificate itself. */
  certificateOctets: [
    'log',
    'postgres: a certificate on disk, tables and indexes, without its DER',
    'octets',
  ],
  /** Postgres writes a page whole when it changes first after a checkpoint; here all do. */
  voucherWalOctets: ['log', 'postgres: WAL of a voucher, no page touched since the checkpoint', 'octets'],
  certificateWalOctets: ['log', 'postgres: WAL of a certificate over its life, likewise', 'octets'],
  /** Observations a second that one core stores. */
  ingestRate: ['analytics', 'the same', 'per CPU second'],
  storedObservationOctets: ['analytics', 'an observation on disk, with all tables made of it', 'bytes'],
} as const;

export type Figures = { readonly [Name in keyof typeof wanted]: number };

/**
 * Of those that the plan needs the last ones, by name.
 *
 * @param text of one run or several; progress and other figures may stand among them
 * @throws AdminError `wrong-usage`, naming what is missing
 */
export function planFigures(text: string): ReadonlyMap<keyof Figures, Figure> {
  const all = readFigures(text);
  return new Map(
    Object.entries(wanted).map(([name, [bench, what, unit]]) => {
      const match = all.findLast((one) => one.bench === bench && one.figure === what && one.unit === unit);
      if (!match)
        throw new AdminError('wrong-usage', `figures: bench ${bench} does not tell "${what}" ${unit}`);
      return [name as keyof Figures, match];
    }),
  );
}

/** @throws AdminError `wrong-usage` */
export function parseFigures(text: string): Figures {
  const found = [...planFigures(text)].map(([name, { value }]) => [name, value] as const);
  return Object.fromEntries(found) as Figures;
}

/** @throws AdminError `wrong-usage` for an object that is no figure */
export const readFigures = (text: string): readonly Figure[] =>
  text.split('\n').flatMap((line, index) => readLine(line, index + 1));

function readLine(line: string, number: number): readonly Figure[] {
  if (line.startsWith('{')) {
    try {
      return [figure.parse(JSON.parse(line))];
    } catch (cause) {
      throw new AdminError('wrong-usage', `figures: line ${number} is no figure`, { cause });
    }
  }
  const [, bench, what, value, unit] = /^(\w+) +(.+?): ([\d.]+) ([^(]+?)(?: {2}\(.*\))?$/.exec(line) ?? [];
  return unit === undefined ? [] : [{ bench: bench!, figure: what!, value: Number(value), unit }];
}
