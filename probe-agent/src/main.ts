#!/usr/bin/env node
import { runProcess, runTask } from '@mecai/runtime';

const [word, ...rest] = process.argv.slice(2);
if (word === 'join') {
  const { joinNetwork } = await import('./join.ts');
  await runTask('probe-agent join', joinNetwork, rest);
} else {
  const { startAgent } = await import('./start.ts');
  await runProcess('probe-agent', startAgent);
}
