import { runProcess } from '@mecai/runtime';
import { startAnalytics } from './analytics.ts';
import { loadAnalyticsConfig } from './config.ts';

await runProcess('analytics', ({ config, environment, log, fail }) =>
  startAnalytics(loadAnalyticsConfig(config, environment), { log, fail, now: Date.now }),
);
