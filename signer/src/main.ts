#!/usr/bin/env node
import { runProcess } from '@mecai/runtime';
import { isCommand, runCommand, usage } from './ceremony.ts';
import { startSigner } from './start.ts';

const [word, ...rest] = process.argv.slice(2);
if (isCommand(word)) process.exitCode = await runCommand(word, rest, process.env, () => new Date());
else if (word === undefined || word === '--help' || word === '-h') console.log(usage);
else await runProcess('signer', startSigner, word === 'serve' ? rest : process.argv.slice(2));
