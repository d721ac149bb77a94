/** `mecai-probe-agent join`: makes the agent's keys, shows them with its one-time token, waits until it is approved. */
import { createHash } from 'node:crypto';
import { rmSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { enrol, readToken } from '@mecai/corroboration';
import { RuntimeError, type Task, loadConfig, readText } from '@mecai/runtime';
import { agentConfig } from './config.ts';
import { sendEnrolment } from './enrolment-request.ts';
import { AgentError } from './error.ts';
import { ownKeys, publicHalves } from './own-keys.ts';

/** How often it says that it still waits. */
const sayEveryMs = 60_000;

/**
 * May be interrupted and started again at any time: keys that are there are kept, and the same enrolment is sent. When it
 * returns, the agent is in the registry and the token is gone.
 *
 * @throws AgentError `join-refused`, `bad-key`; RuntimeError
 */
export async function joinNetwork({ log, config: file, environment, signal }: Task): Promise<void> {
  const config = loadConfig(agentConfig, file, environment);
  const { join, location } = config;
  if (!join) throw new RuntimeError('bad-configuration', `${file}:\n  join: expected { "url": … }`);
  const token = readText(join.tokenFile);
  try {
    void readToken(token);
  } catch (cause) {
    throw new RuntimeError('bad-configuration', `${join.tokenFile}: ${(cause as Error).message}`, { cause });
  }
  const ca = join.ca === undefined ? undefined : readText(join.ca);
  const keys = ownKeys(config);
  const { publicKey, natsKey } = publicHalves(keys);
  const key = createHash('sha256').update(publicKey).digest('hex');
  log.info({ agent: config.name, key, natsKey }, 'keys are here; the operator sees the same');

  const enrolment = enrol(token, { name: config.name, ...location }, keys);
  const url = new URL('/enrolments', join.url);
  let said = '';
  let saidAt = 0;
  const say = (what: string) => {
    if (what === said && performance.now() - saidAt < sayEveryMs) return;
    [said, saidAt] = [what, performance.now()];
    log.info({ agent: config.name, key }, what);
  };
  for (;;) {
    try {
      if ((await sendEnrolment(url, enrolment, { ca, signal })) === 'approved') break;
      say('enrolled; waits for the operator: mecai-admin agents approve');
    } catch (error) {
      if (!(error instanceof AgentError) || error.code !== 'join-not-answered') throw error;
      say(`not enrolled yet: ${error.message}`);
    }
    await delay(join.askEveryMs, undefined, { signal });
  }
  // Used up; and without it nobody joins again.
  rmSync(join.tokenFile);
  log.info({ agent: config.name, key }, 'approved: this agent is a perspective');
}
