import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { loadTrustContext, loadTrustContexts, saveTrustContext } from './index.ts';
import { first, issuedAt, second } from './testing/roots.ts';
import { sha256 } from './vertex.ts';

describe('a trust directory', () => {
  const directory = mkdtempSync(join(tmpdir(), 'mecai-trust-'));
  afterAll(() => rmSync(directory, { recursive: true }));

  it('keeps a context with its constraints', async () => {
    const context = {
      id: 'KEPT',
      listed: true,
      anchors: [
        {
          certificate: first.certificate,
          constraints: [{ notBeforeUntil: issuedAt }, { permittedDnsNames: ['example.com'] }],
        },
        { certificate: second.certificate },
      ],
    };
    await saveTrustContext(directory, context);
    expect(await loadTrustContexts(directory)).toEqual([context]);
  });

  it('refuses a setting that it does not know, rather than not to enforce it', async () => {
    writeFileSync(
      join(directory, 'KEPT', 'context.json'),
      JSON.stringify({ constraints: { [sha256(first.der)]: [{ moonPhase: 'full' }] } }),
    );
    await expect(loadTrustContext(join(directory, 'KEPT'), 'KEPT')).rejects.toMatchObject({
      code: 'configuration',
    });
    writeFileSync(join(directory, 'KEPT', 'context.json'), '{ "lsited": true }');
    await expect(loadTrustContext(join(directory, 'KEPT'), 'KEPT')).rejects.toMatchObject({
      code: 'configuration',
    });
  });

  it('refuses what is not there, empty, or no certificate', async () => {
    await expect(loadTrustContexts(join(directory, 'absent'))).rejects.toMatchObject({
      code: 'configuration',
    });
    await expect(loadTrustContext(directory, 'EMPTY')).rejects.toMatchObject({ code: 'configuration' });
    writeFileSync(
      join(directory, 'bad.pem'),
      '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n',
    );
    await expect(loadTrustContext(directory, 'BAD')).rejects.toMatchObject({ code: 'configuration' });
  });
});
