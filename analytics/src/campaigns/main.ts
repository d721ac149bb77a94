#!/usr/bin/env node
import { randomBytes } from 'node:crypto';
import { runProcess } from '@mecai/runtime';
import { startCampaigns } from './start.ts';

await runProcess('campaigns', (start) => startCampaigns({ ...start, now: Date.now, randomBytes }));
