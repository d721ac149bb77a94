/** Several agents in one process, for benches: `--config a.json --config b.json …`. */
import { parseArgs } from 'node:util';
import { createLogger } from '@mecai/runtime';
import { startAgent } from '@mecai/probe-agent/start';

const { values } = parseArgs({ options: { config: { type: 'string', multiple: true, default: [] } } });
const fail = (error: unknown) => {
  console.error(error);
  process.exit(1);
};
const agents = await Promise.all(
  values.config.map((config) =>
    startAgent({ log: createLogger('probe-agent'), config, environment: process.env, fail }),
  ),
);
process.on('SIGTERM', () => {
  Promise.all(agents.map((agent) => agent.stop())).then(() => process.exit(0), fail);
});
process.on('disconnect', () => process.exit(0));
process.send?.({ ready: {} });
