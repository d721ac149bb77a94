// Usage: node packages/tls-probe/fuzz/run.ts [executions] [seed] [target]
// Throws mutated bytes at every parser of the package; ends with status 1 and the input on the first finding.

import { fuzzTargets } from '../src/testing/fuzz-targets.ts';
import { Fuzzer } from '../src/testing/fuzzer.ts';
import { Dice } from '../src/testing/mutations.ts';

const [executions = '10000000', seed = String(Date.now() >>> 0), only] = process.argv.slice(2);
const fuzzers = fuzzTargets
  .filter(({ name }) => only === undefined || name === only)
  .map((target) => ({ name: target.name, fuzzer: new Fuzzer(target) }));
const dice = new Dice(Number(seed));
const total = Number(executions);
const began = performance.now();
console.log(`${total} executions over ${fuzzers.length} targets, seed ${seed}`);

let done = 0;
let rounds = 0;
while (done < total) {
  // zlib frees what failed to decompress in the next tick only.
  if (++rounds % 100 === 0) await new Promise((resolve) => setImmediate(resolve));
  for (const { fuzzer } of fuzzers) {
    const finding = fuzzer.once(dice);
    if (finding) {
      console.error(finding.target, finding.error, finding.input.toString('hex'));
      process.exit(1);
    }
    if (++done % 1_000_000 === 0) {
      const rss = Math.round(process.memoryUsage().rss / 1_048_576);
      console.log(`${done} in ${Math.round((performance.now() - began) / 1_000)} s, ${rss} MB`);
    }
  }
}
for (const { name, fuzzer } of fuzzers) {
  console.log(`${name}: ${fuzzer.executions} executions, ${fuzzer.outcomes.size} ways to end`);
}
