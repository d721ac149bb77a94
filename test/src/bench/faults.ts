/**
 * Three regions on this machine, and everything that can happen to each of their processes, one after the other, under
 * load: killed, paused, cut off. Some ten minutes. `--seed=<n>` for another order, `--only=<part of a name>` for some.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { settle } from '../regions/accounts.ts';
import { allFaults } from '../regions/faults.ts';
import { startRegions } from '../regions/regions.ts';
import { openTheatre } from '../regions/theatre.ts';
import { reporter } from './figures.ts';

const { values } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    seed: { type: 'string', default: '1' },
    only: { type: 'string', default: '' },
  },
});
const report = reporter('faults', values.json);
const patience = { faultMs: 8_000, recoveryMs: 120_000 };

// What is left to do is done on exit.
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(1));
const directory = mkdtempSync(join(tmpdir(), 'mecai-bench-'));
const regions = await startRegions({ directory });
const theatre = await openTheatre(regions, { perSecond: 10, deadlineMs: 60_000, outstanding: 100 });
try {
  await theatre.untilUsual(60_000);
  const faults = allFaults(regions, Number(values.seed)).filter(({ part }) =>
    part.name.includes(values.only),
  );
  for (const fault of faults) {
    const { part, deed, ...figures } = await theatre.suffer(fault, patience);
    const about = (what: string) => `${part} ${deed}: ${what}`;
    for (const [status, count] of Object.entries(figures.answers)) {
      report(about(`answers ${status}`), count, '');
    }
    for (const [reason, count] of Object.entries(figures.reasons)) {
      report(about(`because ${reason}`), count, '');
    }
    report(about('longest time without a voucher'), figures.longestGapMs, 'ms');
    report(about('longest wait for an answer'), figures.longestAnswerMs, 'ms');
    report(about('as before, after'), figures.recoveryMs, 'ms');
  }
  await theatre.closeLoad();
  const accounts = await settle(regions, theatre.vouchers, { withinMs: 120_000, killedAgents: true });
  report('vouchers handed out', accounts.vouchers, '');
  report('observations acknowledged', accounts.observations, '');
  report('rows stored by the sinks', accounts.rows ?? 0, '');
  for (const what of [...accounts.wrong, ...theatre.unclear]) console.error(what);
  report('lost, twice, or without a clear answer', accounts.wrong.length + theatre.unclear.length, '');
  if (accounts.wrong.length + theatre.unclear.length > 0) process.exitCode = 1;
} finally {
  await theatre.close();
  await regions.stop();
  rmSync(directory, { recursive: true, force: true });
}
process.exit();
