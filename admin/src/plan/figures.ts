/** What the project's own benches measured, as `npm run bench -- network analytics --json` prints it. */
import * as z from 'zod';
import { AdminError } from '../error.ts';

const line = z.object({
  bench: z.string(),
  figure: z.string(),
  value: z.number().positive(),
  unit: z.string(),
});

/** Names as the benches print them; every one of them is needed. */
const wanted = {
  coordinatorMicros: ['network', 'six agents in six processes: CPU of coordinator'],
  signerMicros: ['network', 'six agents in six processes: CPU of signer'],
  /** Of six probes, each with its observation signed and published. */
  sixProbesMicros: ['network', 'six agents in six processes: CPU of agents'],
  natsMicros: ['network', 'six agents in six processes: CPU of NATS'],
  /** Of the bench's own; those of the web are longer. */
  chainOctets: ['network', 'octets of the chain'],
  probeSentOctets: ['network', 'octets of one probe, sent'],
  probeReceivedOctets: ['network', 'octets of one probe, received'],
  observationOctets: ['network', 'octets of one observation in JetStream'],
  decisionOctets: ['network', 'octets of one decision record in JetStream'],
  auditOctets: ['network', 'octets of the audit log'],
  /** Observations a second that one core stores. */
  ingestRate: ['analytics', 'the same, one core'],
  storedObservationOctets: ['analytics', 'an observation on disk'],
} as const;

export type Figures = { readonly [Name in keyof typeof wanted]: number };

/**
 * @param text JSON lines; figures of other benches may stand among them
 * @throws AdminError `wrong-usage`, naming what is missing
 */
export function parseFigures(text: string): Figures {
  const lines = text
    .split('\n')
    .filter((one) => one.startsWith('{'))
    .map((one, index) => {
      try {
        return line.parse(JSON.parse(one));
      } catch (cause) {
        throw new AdminError('wrong-usage', `figures: object ${index + 1} is no figure`, { cause });
      }
    });
  const found = Object.entries(wanted).map(([name, [bench, figure]]) => {
    // The last run counts.
    const match = lines.findLast((one) => one.bench === bench && one.figure === figure);
    if (!match) throw new AdminError('wrong-usage', `figures: bench ${bench} does not tell "${figure}"`);
    return [name, match.value] as const;
  });
  return Object.fromEntries(found) as Figures;
}
