import { type Directory, encodeDirectory, prepareDirectory } from '@mecai/voucher';
import { testCertificate, testVa, testVoucher } from '@mecai/voucher/testing';
import { sign } from 'node:crypto';
import { createServer } from 'node:https';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { ClientError } from './error.ts';
import { changesOf, fetchDirectory, fetchHistory } from './perspectives.ts';
import { vaAgent } from './request.ts';
import { pem, portOf } from './test-va-server.ts';
import { sha256 } from './testing/world.ts';

const va = testVa();
const now = new Date('2026-11-22T13:00:00Z');
const frankfurt = {
  country: 'DE',
  city: 'Frankfurt',
  latitude: 50,
  longitude: 9,
  rir: 'ripencc',
  asn: 1,
} as const;
const quito = { country: 'EC', city: 'Quito', latitude: 0, longitude: -79, rir: 'lacnic', asn: 2 } as const;
const directory = (version: number, fields: Partial<Directory> = {}): Uint8Array =>
  encodeDirectory({
    version,
    publishedAt: new Date(now.getTime() + version * 60_000),
    quorum: testVoucher.quorum,
    trustContexts: ['MOZ'],
    perspectives: [frankfurt],
    ...fields,
  });
const following = (version: number, before: number, payload: Uint8Array, fields: Partial<Directory> = {}) =>
  directory(version, { previous: { version: before, digest: sha256(payload) }, ...fields });
const signed = (payload: Uint8Array, by = va) => {
  const prepared = prepareDirectory(payload, [by.certificate.der, by.intermediate.der]);
  return prepared.finish(sign('sha256', prepared.toBeSigned, by.certificate.privateKey));
};

const first = directory(1);
const second = following(2, 1, first, { perspectives: [frankfurt, quito, frankfurt] });
const fourth = following(4, 2, second, {
  perspectives: [quito, frankfurt],
  trustContexts: ['CHROME', 'MOZ'],
  quorum: { ...testVoucher.quorum, kilometres: 0 },
});

const published = new Map<string, string>();
beforeEach(() => {
  published.clear();
  published
    .set('', signed(fourth))
    .set('/1', signed(first))
    .set('/2', signed(second))
    .set('/4', signed(fourth));
});
const tlsServer = testCertificate({ subject: 'VA server', dnsNames: ['localhost'] });
const server = createServer(
  { cert: pem(tlsServer.der), key: tlsServer.privateKey.export({ type: 'pkcs8', format: 'pem' }) },
  (request, response) => {
    const document = published.get(request.url!.replace('/vrp/perspectives', ''));
    response
      .writeHead(document === undefined ? 404 : 200, { 'content-type': 'application/jose' })
      .end(document);
  },
);
beforeAll(() => new Promise<void>((resolve) => server.listen(0, 'localhost', resolve)));
const agent = vaAgent({ ca: pem(tlsServer.der) });
afterAll(() => {
  agent.destroy();
  server.close();
});
const url = () => `https://localhost:${portOf(server)}/vrp`;
const options = { roots: [va.root.der], now, agent };
async function code(action: Promise<unknown>): Promise<string> {
  try {
    await action;
    return 'none';
  } catch (error) {
    if (!(error instanceof ClientError)) throw error;
    return error.code;
  }
}

test('the latest version, and one by its number', async () => {
  expect((await fetchDirectory(url(), options)).directory.version).toBe(4);
  expect((await fetchDirectory(url(), options, 2)).directory.perspectives).toHaveLength(3);
  expect(await code(fetchDirectory(url(), options, 3))).toBe('problem');
  published.set('/2', signed(first));
  expect(await code(fetchDirectory(url(), options, 2))).toBe('bad-response');
});

test('what no root of the VA is behind is not believed', async () => {
  published.set('', signed(fourth, testVa()));
  expect(await code(fetchDirectory(url(), options))).toBe('directory-untrusted');
});

describe('the history', () => {
  const mark = { version: 2, digest: sha256(second) };

  test('leads to the first version, and to one that was seen', async () => {
    const versions = async (more = {}) =>
      (await fetchHistory(url(), { ...options, ...more })).map(({ directory: { version } }) => version);
    expect(await versions()).toEqual([4, 2, 1]);
    expect(await versions({ mark })).toEqual([4, 2]);
    expect(await versions({ most: 2 })).toEqual([4, 2]);
  });

  test('in words: what each version changed', async () => {
    const changes = changesOf(await fetchHistory(url(), options));
    expect(changes.map(({ version, lines }) => [version, lines])).toEqual([
      [
        1,
        [
          '+ quorum: at least 4 of 6, from 2 regions and 2 networks, 500 km apart, with the intermediates',
          '+ trust context MOZ',
          '+ perspective Frankfurt DE (50°N 9°E), ripencc, AS1',
        ],
      ],
      [
        2,
        [
          '+ perspective Frankfurt DE (50°N 9°E), ripencc, AS1',
          '+ perspective Quito EC (0°N 79°W), lacnic, AS2',
        ],
      ],
      [
        4,
        [
          '+ quorum: at least 4 of 6, from 2 regions and 2 networks, 0 km apart, with the intermediates',
          '+ trust context CHROME',
          '- quorum: at least 4 of 6, from 2 regions and 2 networks, 500 km apart, with the intermediates',
          '- perspective Frankfurt DE (50°N 9°E), ripencc, AS1',
        ],
      ],
    ]);
  });

  test('written anew is noticed: by the digest of the next version, and by what was seen', async () => {
    published.set('/2', signed(following(2, 1, first)));
    expect(await code(fetchHistory(url(), options))).toBe('history-rewritten');
    const forged = following(2, 1, first);
    published.set('', signed(following(4, 2, forged)));
    expect(await code(fetchHistory(url(), options))).toBe('none');
    expect(await code(fetchHistory(url(), { ...options, mark }))).toBe('history-rewritten');
    published.set('', signed(directory(4)));
    expect(await code(fetchHistory(url(), { ...options, mark }))).toBe('history-rewritten');
    published.set('', signed(first));
    expect(await code(fetchHistory(url(), { ...options, mark }))).toBe('history-rewritten');
  });
});
