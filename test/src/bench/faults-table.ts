/** What faults cost, in words. */
import { type FaultFigures, deeds } from '../regions/faults.ts';
import { kinds } from '../regions/part.ts';

function others(answers: FaultFigures['answers']): string {
  const words = Object.entries(answers).flatMap(([status, n]) =>
    status === 'issued' ? [] : `${n} ${status}`,
  );
  return words.join(', ') || 'none';
}

export function inWords(one: FaultFigures): string {
  const reasons = Object.entries(one.reasons).map(([reason, count]) => `; ${count} × ${reason}`);
  return (
    `${one.part} ${one.deed}: ${one.answers['issued'] ?? 0} of ${one.requests} issued, others ${others(one.answers)}; ` +
    `${one.secondsWithout} s without, longest wait ${one.longestAnswerMs} ms, as before after ${one.recoveryMs} ms${reasons.join('')}`
  );
}

const sum = (all: readonly number[]) => all.reduce((a, b) => a + b, 0);
/** Of one kind and deed: sums, and the worst. */
export function together(all: readonly FaultFigures[]) {
  const statuses = new Set(all.flatMap(({ answers }) => Object.keys(answers)));
  return {
    what: `${all[0]!.kind} ${all[0]!.deed}`,
    faults: all.length,
    requests: sum(all.map(({ requests }) => requests)),
    answers: Object.fromEntries(
      Array.from(statuses, (status) => [status, sum(all.map(({ answers }) => answers[status] ?? 0))]),
    ),
    secondsWithout: Math.max(...all.map((one) => one.secondsWithout)),
    longestGapMs: Math.max(...all.map((one) => one.longestGapMs)),
    longestAnswerMs: Math.max(...all.map((one) => one.longestAnswerMs)),
    recoveryMs: Math.max(...all.map((one) => one.recoveryMs)),
  };
}

/** Markdown: a row for each kind and deed. */
export function table(figures: readonly FaultFigures[]): string {
  const head = [
    'what',
    'faults',
    'requests',
    'issued',
    'others',
    'without a voucher',
    'longest wait',
    'as before after',
  ];
  const seconds = (ms: number) => `${(ms / 1000).toFixed(1)} s`;
  const groups = Map.groupBy(figures, ({ kind, deed }) => `${kinds.indexOf(kind)} ${deeds.indexOf(deed)}`);
  const rows = Array.from(groups)
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([, all]) => together(all))
    .map(({ what, faults, requests, answers, ...worst }) => [
      what,
      String(faults),
      String(requests),
      String(answers['issued'] ?? 0),
      others(answers),
      `${worst.secondsWithout} s, ${seconds(worst.longestGapMs)} at a time`,
      seconds(worst.longestAnswerMs),
      seconds(worst.recoveryMs),
    ]);
  return [head, head.map(() => '---'), ...rows].map((row) => `| ${row.join(' | ')} |`).join('\n');
}
