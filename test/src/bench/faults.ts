/**
 * Three regions on this machine, and everything that can happen to each of their processes, one after the other, under
 * load: killed, paused, cut off. Some ten minutes, told on the way; a table in the end. `--seed=<n>` for another order,
 * `--only=<part of a name or kind>` for some.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { settle } from '../regions/accounts.ts';
import { type Fault, type FaultFigures, allFaults, deeds } from '../regions/faults.ts';
import { type Kind, kinds } from '../regions/part.ts';
import { startRegions } from '../regions/regions.ts';
import { openTheatre } from '../regions/theatre.ts';
import { inWords, table, together } from './faults-table.ts';
import { type Report, reporter } from './figures.ts';

const { values } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    seed: { type: 'string', default: '1' },
    only: { type: 'string', default: '' },
  },
});
const report = reporter('faults', values.json);
const perSecond = 10;
/** What a node may need that stays behind and is restarted by its watch, and then catches up. */
const recoveryMs = 180_000;
/** Long enough for silence to be noticed, and for an election of streams' leaders, which takes up to 9 s. */
const faultMs = (kind: Kind) => (kind === 'nats' || kind === 'leaf' ? 12_000 : 4_000);

const begun = performance.now();
const tell = (what: string) =>
  console.error(`${((performance.now() - begun) / 1000).toFixed(0).padStart(5)} s  ${what}`);
const directory = mkdtempSync(join(tmpdir(), 'mecai-bench-'));
const remove = () => rmSync(directory, { recursive: true, force: true, maxRetries: 10 });
for (const signal of ['SIGINT', 'SIGTERM']) {
  process.once(signal, () => {
    // After those of the processes, which end on exit.
    process.once('exit', remove);
    process.exit(1);
  });
}
const regions = await startRegions({ directory, progress: tell });
const theatre = await openTheatre(regions, { perSecond, deadlineMs: 60_000, outstanding: 100 });
const failures: string[] = [];
let restarts = 0;
try {
  await theatre.untilUsual(60_000);
  const faults = allFaults(regions, Number(values.seed)).filter(({ part }) =>
    [part.kind, part.name].some((one) => one.includes(values.only)),
  );
  if (!regions.fabric.cuts) tell('nobody is cut off here: that takes root on Linux');
  const figures: FaultFigures[] = [];
  for (const [i, fault] of faults.entries()) {
    const one = await suffered(fault);
    if (one) figures.push(one);
    for (const restart of regions.natsRestarts.slice(restarts)) tell(restart);
    restarts = regions.natsRestarts.length;
    tell(`${String(i + 1).padStart(2)} of ${faults.length}  ${one ? inWords(one) : failures.at(-1)}`);
  }
  await theatre.closeLoad();
  const accounts = await settle(regions, theatre, { withinMs: 120_000 });
  const restless = accounts.unsettled.map((what) => `after two minutes there is still ${what}`);
  failures.push(...accounts.wrong, ...restless, ...theatre.unclear);

  for (const kind of kinds) {
    for (const deed of deeds) reportAll(figures.filter((one) => one.kind === kind && one.deed === deed));
  }
  if (!values.json) console.log(`\n${table(figures)}\n`);
  report('faults', figures.length, '');
  report('requests', theatre.endings.length, '');
  report('vouchers handed out', accounts.vouchers, '');
  report('observations whose acknowledgement was heard', accounts.observations, '');
  report('observations in analytics', accounts.stored, '');
  report('records and observations stored twice in their streams', accounts.repeated, '');
  report('rows stored by the sinks', accounts.rows ?? 0, '');
  report('observations whose agents were killed before an acknowledgement', accounts.unacknowledged, '');
  report('acknowledged records lost', accounts.wrong.length, '');
  report('what had not come to rest after two minutes', restless.length, '');
  report('requests without a clear answer', theatre.unclear.length, '');
  report('NATS nodes that stayed behind and were restarted by their watch', restarts, '');
  report('seconds', (performance.now() - begun) / 1000, 's');
  for (const what of failures.slice(0, 50)) console.error(what);
  if (failures.length > 50) console.error(`and ${failures.length - 50} more`);
  if (failures.length > 0) process.exitCode = 1;
} finally {
  await theatre.close();
  await regions.stop();
  remove();
}
process.exit();

/** What does not recover is a failure, and the others still have their turn. */
async function suffered(fault: Fault): Promise<FaultFigures | undefined> {
  try {
    return await theatre.suffer(fault, { faultMs: faultMs(fault.part.kind), recoveryMs });
  } catch (error) {
    failures.push(String(error));
    return undefined;
  }
}

function reportAll(all: readonly FaultFigures[]): void {
  if (!values.json || all.length === 0) return;
  const { what, faults, requests, answers, ...worst } = together(all);
  const about: Report = (figure, value, unit) => report(`${what}: ${figure}`, value, unit);
  about('faults', faults, '');
  about('requests', requests, '');
  for (const [status, count] of Object.entries(answers)) about(`answers ${status}`, count, '');
  about('seconds without a voucher', worst.secondsWithout, 's');
  about('longest time without a voucher', worst.longestGapMs, 'ms');
  about('longest wait for an answer', worst.longestAnswerMs, 'ms');
  about('as before, after', worst.recoveryMs, 'ms');
}
