#!/usr/bin/env node
import { runProcess } from '@mecai/runtime';
import { startCampaigns } from './start.ts';

await runProcess('campaigns', startCampaigns);
