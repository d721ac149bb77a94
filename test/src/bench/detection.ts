/**
 * What the rules find on synthetic internets, seeds apart from those they were tuned on (1 to 6): as many as there
 * is time for, ten unless told otherwise. Attacks next to the server are among what happens: nobody can tell them from a new
 * certificate, so each report of one is wrong. Shares come with their 95 % interval.
 */
import { type Outcome, score, simulate, wilson } from '@mecai/analytics/simulation';
import { reporter } from './figures.ts';

const sites = 20_000;
const budgetMs = 10 * 60_000;
const report = reporter('detection');
const count = Number(process.argv.find((argument) => /^\d+$/.test(argument)) ?? 10);
const outcomes: Outcome[] = [];
const began = performance.now();
for (let seed = 1001; seed < 1001 + count; seed++) {
  outcomes.push(simulate({ seed, sites }));
  const seconds = (performance.now() - began) / 1000;
  process.stderr.write(`seed ${seed}, ${seconds.toFixed(0)} s\n`);
  if (seconds * 1000 > budgetMs) break;
}
const { kinds, events, wrong, missed } = score(outcomes);
const share = (name: string, right: number, all: number) => {
  const [low, high] = wilson(right, all);
  report(
    name,
    right / Math.max(1, all),
    `(${right} of ${all}; 95 %: ${low.toFixed(3)} to ${high.toFixed(3)})`,
  );
};

report('synthetic internets', outcomes.length, 'runs');
report('endpoints', sites, 'a run');
for (const { kind, right, wrong: not } of kinds) share(`${kind}: precision`, right, right + not);
for (const { name, happened, detected, times } of events) {
  if (name === 'near-server') {
    report(`${name}: reported (cannot be seen by a quorum)`, detected, `of ${happened}`);
    continue;
  }
  share(`${name}: recall`, detected, happened);
  share(`${name}: recall within 2 minutes`, times.filter((ms) => ms <= 120_000).length, happened);
  report(`${name}: time to detection, median`, (times[times.length >> 1] ?? 0) / 1000, 's');
  report(`${name}: time to detection, longest`, (times.at(-1) ?? 0) / 1000, 's');
}
const regional = events.filter(({ name }) => /20\d\d$/.test(name));
share(
  'regional kinds together: recall within 2 minutes',
  regional.flatMap(({ times }) => times.filter((ms) => ms <= 120_000)).length,
  regional.reduce((sum, { happened }) => sum + happened, 0),
);
const total = outcomes.reduce((sum, { incidents }) => sum + incidents.length, 0);
share('all incidents: precision', total - wrong.length, total);
report('missed', missed.length, missed.map(({ name }) => name).join(', ') || 'none');
report('sightings', outcomes.reduce((sum, { sightings }) => sum + sightings, 0) / outcomes.length, 'a run');
report(
  'rules',
  outcomes.map(({ perSecond }) => perSecond).toSorted((a, b) => a - b)[outcomes.length >> 1]!,
  'sightings/s',
);
