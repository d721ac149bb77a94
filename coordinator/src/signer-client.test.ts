import { Svid } from '@mecai/runtime';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { randomBytes } from 'node:crypto';
import { RefusalCode, type Subject } from '@mecai/proto/signer';
import { afterAll, afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { SignerClient } from './signer-client.ts';
import { testRegistry } from './testing/agents.ts';
import { keptLog } from './testing/log.ts';
import { TestSigner, refused } from './testing/signer.ts';
import { telemetry } from './testing/telemetry.ts';
import { type SignerServer, startSignerServer, svidFiles } from './testing/signer-server.ts';

const directory = mkdtempSync(join(tmpdir(), 'mecai-signer-client-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));
const signerSvid = svidFiles(directory, 'spiffe://mecai.test/signer').pem;
const coordinatorSvid = svidFiles(directory, 'spiffe://mecai.test/coordinator').pem;
const { log, lines } = keptLog();
const subject: Subject = {
  addresses: [Uint8Array.of(198, 51, 100, 7)],
  port: 443,
  serverName: 'www.example.org',
  startTls: '',
  chain: [randomBytes(100)],
};

let signer: TestSigner;
let server: SignerServer;
let client: SignerClient;
let losses = 0;
const connect = (id = 'spiffe://mecai.test/signer') =>
  new SignerClient({
    address: `127.0.0.1:${server.port}`,
    credentials: Svid.fixed(coordinatorSvid).clientCredentials(id),
    log,
    now: Date.now,
    telemetry,
    lost: () => losses++,
  });

beforeEach(async () => {
  signer = new TestSigner(testRegistry());
  server = await startSignerServer(signer, signerSvid);
  client = connect();
  losses = 0;
  lines.length = 0;
});
afterEach(() => {
  vi.useRealTimers();
  client.close();
  server.kill();
});

describe('the signer', () => {
  it('describes itself, draws, and answers evidence, over one stream', async () => {
    expect(await client.describe()).toMatchObject({ registryVersion: 1, policy: signer.policy });
    const drawn = await Promise.all(Array.from({ length: 20 }, () => client.draw(subject)));
    const nonces = drawn.map((one) => ('nonce' in one ? Buffer.from(one.nonce).toString('hex') : ''));
    expect(new Set(nonces).size).toBe(20);
    expect(await client.issue(Buffer.from(nonces[0]!, 'hex'), [])).toMatchObject({
      refused: { code: RefusalCode.REFUSAL_CODE_NO_QUORUM },
    });
    expect(server.streams).toBe(1);
  });

  it('refuses in its own words', async () => {
    signer.refuseDraw = refused(RefusalCode.REFUSAL_CODE_OWN_CA, 'own').refused;
    expect(await client.draw(subject)).toEqual(refused(RefusalCode.REFUSAL_CODE_OWN_CA, 'own'));
  });

  it('that shows another identity is not spoken to', async () => {
    const wary = connect('spiffe://mecai.test/other');
    await expect(wary.draw(subject)).rejects.toMatchObject({ code: 'signer-unavailable' });
    await expect(wary.describe()).rejects.toMatchObject({ code: 'signer-unavailable' });
    wary.close();
    expect(signer.draws).toEqual([]);
  });

  it('that goes away fails what is under way at once, and is found again when it is back', async () => {
    await client.draw(subject);
    server.deaf = true;
    const waiting = [client.draw(subject), client.issue(randomBytes(32), [])];
    await vi.waitUntil(() => server.streams === 1, { timeout: 60_000 });
    server.kill();
    for (const one of waiting) {
      await expect(one).rejects.toMatchObject({
        code: 'signer-unavailable',
        message: 'the signer cannot be reached',
      });
    }
    expect(losses).toBe(1);
    expect(lines).toMatchObject([{ level: 'warn', message: 'stream to the signer lost' }]);
    await expect(client.draw(subject)).rejects.toMatchObject({ code: 'signer-unavailable' });

    server = await startSignerServer(signer, signerSvid, server.port);
    await vi.waitUntil(
      () =>
        client.draw(subject).then(
          () => true,
          () => false,
        ),
      { timeout: 60_000, interval: 50 },
    );
    expect(server.streams).toBe(1);
  });

  it('that says nothing is waited for five seconds', async () => {
    await client.draw(subject);
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    server.deaf = true;
    const waiting = client.draw(subject);
    const failed = expect(waiting).rejects.toThrow('the signer did not answer in time');
    vi.advanceTimersByTime(5_000);
    await failed;
  });

  it('closed on purpose is not lost', async () => {
    await client.draw(subject);
    client.close();
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(losses).toBe(0);
  });
});
