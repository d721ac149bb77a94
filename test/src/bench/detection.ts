/**
 * What the rules find on synthetic internets, seeds apart from those they were tuned on (1 to 6). Attacks next to
 * the server are among what happens: nobody can tell them from a new certificate, so each report of one is wrong.
 */
import { type Outcome, score, simulate } from '@mecai/analytics/simulation';
import { reporter } from './figures.ts';

const report = reporter('detection');
const count = Number(process.argv.find((argument) => /^\d+$/.test(argument)) ?? 10);
const outcomes: Outcome[] = [];
for (let seed = 1001; seed < 1001 + count; seed++) {
  outcomes.push(simulate({ seed }));
  if (process.stderr.isTTY) process.stderr.write(`seed ${seed}\r`);
}
const { kinds, events } = score(outcomes);

report('synthetic internets', count, 'runs');
for (const { kind, right, wrong } of kinds) {
  report(`${kind}: precision`, right / Math.max(1, right + wrong), `of ${right + wrong} incidents`);
}
for (const { name, happened, detected, times } of events) {
  if (name === 'near-server') {
    report(`${name}: reported (cannot be seen by a quorum)`, detected, `of ${happened}`);
    continue;
  }
  report(`${name}: recall`, detected / happened, `of ${happened}`);
  report(`${name}: recall within 2 minutes`, times.filter((ms) => ms <= 120_000).length / happened, 'share');
  report(`${name}: time to detection, median`, (times[times.length >> 1] ?? 0) / 1000, 's');
  report(`${name}: time to detection, longest`, (times.at(-1) ?? 0) / 1000, 's');
}
report('sightings', outcomes.reduce((sum, { sightings }) => sum + sightings, 0) / count, 'a run');
report(
  'rules',
  outcomes.map(({ perSecond }) => perSecond).toSorted((a, b) => a - b)[count >> 1]!,
  'sightings/s',
);
