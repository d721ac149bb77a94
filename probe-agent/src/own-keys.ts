/** The agent's keys, made on its own machine. They never leave it. */
import { type KeyObject, createPublicKey, generateKeyPairSync } from 'node:crypto';
import { existsSync, renameSync, writeFileSync } from 'node:fs';
import { loadObservationKey } from '@mecai/corroboration';
import { readText } from '@mecai/runtime';
import { createUser, fromSeed } from '@nats-io/nkeys';
import type { AgentConfig } from './config.ts';
import { AgentError } from './error.ts';

export interface OwnKeys {
  readonly observation: KeyObject;
  readonly natsSeed: Uint8Array;
}

/**
 * Those of the files, or new ones where there is no file: who joins again after an interruption is the same agent.
 *
 * @throws AgentError `bad-key`; what writing a file throws
 */
export function ownKeys({ keyFile, nats: { seedFile } }: Pick<AgentConfig, 'keyFile' | 'nats'>): OwnKeys {
  if (!existsSync(keyFile)) {
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    keep(keyFile, privateKey.export({ format: 'pem', type: 'pkcs8' }));
  }
  if (!existsSync(seedFile)) keep(seedFile, createUser().getSeed());
  const natsSeed = Buffer.from(readText(seedFile));
  return {
    observation: readable(keyFile, () => loadObservationKey(readText(keyFile))),
    natsSeed: readable(seedFile, () => {
      if (!fromSeed(natsSeed).getPublicKey().startsWith('U')) throw new TypeError('no seed of a user');
      return natsSeed;
    }),
  };
}

export const publicHalves = ({ observation, natsSeed }: OwnKeys) => ({
  /** P-256 SubjectPublicKeyInfo, DER. */
  publicKey: createPublicKey(observation).export({ format: 'der', type: 'spki' }),
  natsKey: fromSeed(natsSeed).getPublicKey(),
});

/** There whole or not at all, and on the disk when anybody hears of it. */
function keep(file: string, content: string | Uint8Array): void {
  writeFileSync(`${file}.new`, content, { mode: 0o600, flush: true });
  renameSync(`${file}.new`, file);
}

function readable<T>(file: string, read: () => T): T {
  try {
    return read();
  } catch (cause) {
    throw new AgentError('bad-key', `${file}: ${(cause as Error).message}`, { cause });
  }
}
