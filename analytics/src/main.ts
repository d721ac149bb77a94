import { randomUUID } from 'node:crypto';
import { Settings, runProcess } from '@mecai/runtime';
import { startAnalytics } from './analytics.ts';
import { changeable, configSchema } from './config.ts';

await runProcess('analytics', ({ fail, ...start }) =>
  startAnalytics(Settings.load(configSchema, start, changeable), {
    log: start.log,
    fail,
    now: Date.now,
    randomUUID,
  }),
);
