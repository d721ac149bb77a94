#!/usr/bin/env node
import { runProcess } from '@mecai/runtime';
import { isCommand, runCommand, usage } from './ceremony.ts';

const [word, ...rest] = process.argv.slice(2);
if (word === '--help' || word === '-h' || rest.some((one) => one === '--help' || one === '-h')) {
  console.log(usage);
} else if (isCommand(word)) {
  process.exitCode = await runCommand(word, rest, process.env, () => new Date());
} else if (word === 'serve') {
  // Commands do without gRPC.
  const { startSigner } = await import('./start.ts');
  await runProcess('signer', startSigner, rest);
} else {
  console.error(word === undefined ? usage : `signer: no command ${JSON.stringify(word)}\n\n${usage}`);
  process.exitCode = 2;
}
