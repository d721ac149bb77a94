/**
 * Judges stored observations anew: `recompute.ts --config analytics.json --from <time> [--to <time>]`, times as in
 * RFC 3339. An embedded store has room for one process: stop the other one before.
 */
import { parseArgs } from 'node:util';
import { createLogger } from '@mecai/runtime';
import { Agents, registryKeysOf } from './agents.ts';
import { loadAnalyticsConfig } from './config.ts';
import { recompute } from './detection/recompute.ts';
import { rules } from './detection/rules.ts';
import { Store } from './store.ts';

const usage = 'usage: recompute.ts --config <analytics.json> --from <time> [--to <time>]';
const { values } = parseArgs({
  options: {
    config: { type: 'string' },
    from: { type: 'string' },
    to: { type: 'string' },
    help: { type: 'boolean', short: 'h' },
  },
});
const now = Date.now();
const from = Date.parse(values.from ?? '');
const to = values.to === undefined ? now : Date.parse(values.to);
if (values.help) console.log(usage);
else if (values.config === undefined || !(from < to)) {
  console.error(usage);
  process.exitCode = 2;
} else {
  const log = createLogger('recompute', 'info');
  const config = loadAnalyticsConfig(values.config, process.env);
  const agents = new Agents(config.registry, log, registryKeysOf(config));
  const { store: where, retentionDays, ratesRetentionDays, detection } = config;
  const store = await Store.open({ store: where, retentionDays, ratesRetentionDays, insertMs: 60_000 }, log);
  const done = await recompute({
    store,
    rules,
    maxEndpoints: detection.maxEndpoints,
    placeOf(agent) {
      const found = agents.find(agent);
      return found && { agent, country: found.country, rir: found.rir, asn: found.asn };
    },
    from,
    to,
    now,
  });
  await store.close();
  console.log(JSON.stringify({ rules: rules.version, ...done }));
}
