import { execFileSync } from 'node:child_process';
import { createHash, randomBytes, randomInt } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { migrate } from '@mecai/database';
import { testDatabases } from '@mecai/database/testing';
import { testKey } from '@mecai/voucher/testing';
import { afterAll, describe, expect, it } from 'vitest';
import { endorse } from '../log/endorsements.ts';
import { newId } from '../notice/open.ts';
import { allWaivers, hour, logScene, webServer } from '../testing/certificate-log.ts';
import { keyPemOf } from '../testing/chains.ts';
import { testIdentity } from '../testing/identity.ts';
import { Approvals } from './approvals.ts';
import { approvalCode } from './codes.ts';
import { approvalMigrations } from './schema.ts';

const directory = mkdtempSync(join(tmpdir(), 'mecai-waiver-'));
afterAll(() => rmSync(directory, { recursive: true }));
const secret = randomBytes(32);

describe('an approval', () => {
  const databases = testDatabases('sqlite');

  it('of a CSR ends the hold of certificates for its key and its names, and of no others', async () => {
    const scene = await logScene(databases, { policy: allWaivers });
    await migrate(scene.database, 'approval', approvalMigrations, 0);
    const approvals = new Approvals({
      database: scene.database,
      rdap: { contacts: async () => ({ mail: [], phone: ['tel:+4930123456'] }) },
      identity: testIdentity('notices@va.test'),
      secret,
      publicUrl: 'https://va.test',
      lastsMs: hour,
      maxTries: 5,
      perDomainAndDay: 5,
      automatic: false,
      endorse,
      now: () => scene.now,
      randomInteger: (below) => randomInt(below),
      newId,
    });
    const key = testKey();
    const keyFile = join(directory, 'key.pem');
    writeFileSync(keyFile, keyPemOf({ privateKey: key.privateKey }));
    const names = 'subjectAltName=DNS:www.example.org,DNS:example.org';
    const args = ['req', '-new', '-key', keyFile, '-subj', '/CN=x', '-addext', names];
    const csr = execFileSync('openssl', args);
    const number = await approvals.open(csr);
    expect(await approvals.approve(number, approvalCode(secret, number, 'example.org'))).toBe('approved');
    scene.now += hour;
    const held = { state: 'held' };
    expect(await scene.ask(webServer(['www.example.org'], { key }))).toMatchObject({ state: 'cleared' });
    expect(await scene.ask(webServer(['www.example.org', 'a.example.org'], { key }))).toMatchObject(held);
    expect(await scene.ask(webServer(['www.example.org']))).toMatchObject(held);
    const [row] = await scene.database.query<{ sha256: Uint8Array }>('select sha256 from endorsement');
    const spki = key.publicKey.export({ type: 'spki', format: 'der' });
    expect(Buffer.from(row!.sha256)).toEqual(createHash('sha256').update(spki).digest());
  });
});
