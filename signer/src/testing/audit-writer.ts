/**
 * A process that writes an audit log, to be killed or starved of disk. `{ append: n }` appends n records at once and
 * answers with what became of each; `{ flood: true }` appends without end and sends each sequence acknowledged.
 */
import { AuditLog } from '../audit-log.ts';

export interface WriterReport {
  readonly tail?: number;
  readonly results?: readonly (number | string)[];
  readonly acknowledged?: number;
}

const send = (report: WriterReport) => process.send!(report);

const { log, tail } = await AuditLog.open({
  path: process.argv[2]!,
  segmentOctets: Number(process.argv[3] ?? Infinity),
  now: () => new Date(),
  onTrouble: () => undefined,
});
const filler = 'x'.repeat(400);
const append = () => log.append({ event: 'written', process: process.pid, filler });

process.on('message', ({ append: count = 0, flood }: { append?: number; flood?: boolean }) => {
  if (flood) for (let i = 0; i < 16; i++) void keepAppending();
  else {
    void Promise.all(
      Array.from({ length: count }, () => append().catch((error: Error) => error.message)),
    ).then((results) => send({ results }));
  }
});
send({ tail: tail.sequence });

async function keepAppending(): Promise<void> {
  for (;;) send({ acknowledged: await append() });
}
