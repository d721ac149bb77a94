#!/usr/bin/env node
import { runProcess } from '@mecai/runtime';
import { startAgent } from './start.ts';

await runProcess('probe-agent', startAgent);
