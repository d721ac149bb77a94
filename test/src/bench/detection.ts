/**
 * What the rules find on synthetic internets. Rules are chosen on seeds below 2,000; what is reported here is of
 * seeds from 30,000 on, each used in one family of runs only. Shares come with their 95 % interval.
 */
import { once } from 'node:events';
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { Worker } from 'node:worker_threads';
import {
  type Score,
  type SimulationOptions,
  adversarial,
  nothing,
  onRecord,
  together,
  wilson,
} from '@mecai/analytics/simulation';
import { reporter } from './figures.ts';

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '67' },
    from: { type: 'string', default: '30000' },
    json: { type: 'boolean', default: false },
    verbose: { type: 'boolean', default: false },
  },
});
const sites = 20_000;
const report = reporter('detection', values.json);
const seeds = Number(values.seeds);
const first = Number(values.from);
const second = Math.ceil(seeds / 2);
const quietRuns = Math.max(2, Math.ceil(seeds / 10));

const families = {
  onRecord: Array.from({ length: seeds }, (_, i) => ({ seed: first + i, sites, events: onRecord })),
  adversarial: Array.from({ length: second }, (_, i) => ({
    seed: first + 1000 + i,
    sites,
    events: adversarial,
    minutes: 60,
  })),
  nothing: Array.from({ length: quietRuns }, (_, i) => ({
    seed: first + 2000 + i,
    sites,
    events: nothing,
    minutes: 8 * 60,
  })),
} satisfies Record<string, SimulationOptions[]>;

/** Each run on one of so many threads; the scores in the order of the runs. */
async function all(runs: readonly SimulationOptions[]): Promise<Score[]> {
  const scores: Score[] = [];
  let next = 0;
  const work = async () => {
    while (next < runs.length) {
      const at = next++;
      const worker = new Worker(new URL('./detection-run.ts', import.meta.url), { workerData: runs[at] });
      [scores[at]] = (await once(worker, 'message')) as [Score];
      await worker.terminate();
      if (values.verbose) tell(`seed ${runs[at]!.seed}`, scores[at]);
    }
  };
  await Promise.all(Array.from({ length: Math.min(availableParallelism(), runs.length) }, work));
  return scores;
}

function tell(where: string, { wrong, missed, events }: Score): void {
  for (const { kind, summary, reasons, confidence } of wrong)
    process.stderr.write(
      `${where}: wrong: ${kind} ${confidence.toFixed(2)} ${reasons.join(' ')}: ${summary}\n`,
    );
  for (const name of missed) process.stderr.write(`${where}: missed: ${name}\n`);
  for (const [name, { mistaken }] of events)
    if (mistaken > 0) process.stderr.write(`${where}: mistaken: ${name}\n`);
}

const share = (name: string, right: number, of: number) => {
  const [low, high] = wilson(right, of);
  report(name, right / Math.max(1, of), `(${right} of ${of}; 95 %: ${low.toFixed(3)} to ${high.toFixed(3)})`);
};

/** How often and how fast each kind was called what it is. */
function kinds({ events }: Score): void {
  for (const [name, { happened, detected, mistaken, times }] of events) {
    if (name === 'near-server') {
      report(
        `${name}: not detectable, everyone sees the same; called an interception`,
        mistaken,
        `of ${happened}`,
      );
    } else if (mistaken > 0 || /^(cdn|split)/.test(name)) {
      share(`${name}: no attack, but called one`, mistaken, happened);
    } else {
      share(`${name}: recall`, detected, happened);
      share(`${name}: recall within 2 minutes`, times.filter((ms) => ms <= 120_000).length, happened);
      const at = (quantile: number) => (times[Math.ceil(quantile * times.length) - 1] ?? NaN) / 1000;
      report(`${name}: time to detection, median`, at(0.5), 's');
      report(`${name}: time to detection, 95th percentile`, at(0.95), 's');
    }
  }
}

function precision(where: string, { kinds: byKind }: Score): void {
  for (const [kind, { right, wrong }] of Object.entries(byKind)) {
    if (right + wrong > 0) share(`${where}${kind}: precision`, right, right + wrong);
  }
}

const began = performance.now();
const usage = process.cpuUsage();

const usual = together(await all(families.onRecord));
report('synthetic internets with attacks on record', usual.runs, `of ${sites} endpoints each`);
precision('', usual);
kinds(usual);
const regional = [...usual.events].filter(([name]) => /20\d\d$/.test(name));
share(
  'regional kinds together: recall within 2 minutes',
  regional.flatMap(([, { times }]) => times.filter((ms) => ms <= 120_000)).length,
  regional.reduce((sum, [, { happened }]) => sum + happened, 0),
);

const hard = together(await all(families.adversarial));
report('synthetic internets with attackers who know the rules, and look-alikes', hard.runs, 'runs');
precision('among these: ', hard);
kinds(hard);

const quiet = together(await all(families.nothing));
const days = quiet.simulatedMs / 86_400_000;
report('without attacks: simulated', days, 'days');
for (const [kind, { wrong }] of Object.entries(quiet.kinds)) {
  report(`without attacks: ${kind}`, wrong / days, 'a day');
}

const { user, system } = process.cpuUsage(usage);
report('sightings', usual.sightings / usual.runs, 'a run');
report('it took', (performance.now() - began) / 1000, `s, ${((user + system) / 1e6).toFixed(0)} s of CPU`);
