import { randomBytes } from 'node:crypto';
import { migrate } from '@mecai/database';
import { engines, testDatabases } from '@mecai/database/testing';
import { describe, expect, it } from 'vitest';
import { nonceMigrations, sharedNonceKey } from './nonce-key.ts';

describe.each(engines)('the key of nonces on %s', (engine) => {
  const databases = testDatabases(engine);

  it('is that of the coordinator that was first, for all', async () => {
    const config = await databases.config();
    const several = await Promise.all([databases.open(config), databases.open(config)]);
    for (const one of several) await migrate(one, 'nonce', nonceMigrations, 0);
    const own = several.map(() => randomBytes(32));
    const keys = await Promise.all(several.map((one, i) => sharedNonceKey(one, own[i]!)));
    expect(keys[1]).toEqual(keys[0]);
    expect(own.some((key) => Buffer.compare(key, keys[0]!) === 0)).toBe(true);
  });
});
