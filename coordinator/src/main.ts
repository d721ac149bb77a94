#!/usr/bin/env node
import { runProcess } from '@mecai/runtime';
import { startCoordinator } from './start.ts';

await runProcess('coordinator', startCoordinator);
