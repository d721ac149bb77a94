import { Agent } from 'node:https';
import {
  type VoucherRequest,
  encodeVoucherRequest,
  encodeVoucherRequestJson,
  maxRequestOctets,
  mediaTypes,
} from '@mecai/voucher';
import { describe, expect, it } from 'vitest';
import { chainOf, webIntermediate, webLeaf, webRoot } from './testing/chains.ts';
import { json } from './testing/https.ts';
import * as fc from 'fast-check';
import {
  ask,
  askJson,
  good,
  goodDer,
  jsonOf,
  leaf,
  problem,
  results,
  saying,
  setScene,
} from './testing/vrp.ts';

const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64');

const scene = setScene();

describe('a malformed request leaves nothing behind', () => {
  const cases: readonly (readonly [string, Uint8Array])[] = [
    ['nothing', new Uint8Array()],
    ['a trailing byte', Buffer.concat([goodDer, Buffer.alloc(1)])],
    ['a missing byte', goodDer.subarray(0, -1)],
    [
      'BER of indefinite length',
      Buffer.concat([Buffer.of(0x30, 0x80), goodDer.subarray(4), Buffer.alloc(2)]),
    ],
    ['text', Buffer.from('hello')],
    ['as many zeros as fit', Buffer.alloc(maxRequestOctets)],
  ];
  it.each(cases)('in DER: %s', async (_, bytes) => {
    const { status, headers, body } = await ask(bytes);
    expect([status, headers['content-type']]).toEqual([400, mediaTypes.response]);
    expect(results(body)).toMatchObject([{ status: 'refused', reason: 'malformed', perspectives: [] }]);
    expect(scene.questions).toEqual([]);
  });

  const jsonCases: readonly (readonly [string, unknown])[] = [
    ['no JSON', '{'],
    ['two values', '{}{}'],
    ['a list', []],
    ['an unknown member', { ...jsonOf(good), hurry: true }],
    ['an unknown member with half a character', `{"\\ud83d":1}`],
    ['a member twice', encodeVoucherRequestJson(good).replace('"port"', '"version":1,"port"')],
    ['another version', { ...jsonOf(good), version: 2 }],
    ['a port in quotes', { ...jsonOf(good), port: '443' }],
    ['a port out of range', { ...jsonOf(good), port: 65_536 }],
    ['no chains', { ...jsonOf(good), chains: [] }],
    ['five chains', { ...jsonOf(good), chains: Array(5).fill(chainOf(leaf).map(base64)) }],
    ['two IPv4 addresses', { ...jsonOf(good), addresses: ['198.51.100.7', '198.51.100.8'] }],
    ['a name in capitals', { ...jsonOf(good), serverName: 'WWW.example.org' }],
    ['an octal address', { ...jsonOf(good), addresses: ['0198.51.100.7'] }],
    ['an address with a zone', { ...jsonOf(good), addresses: ['fe80::1%eth0'] }],
    ['STARTTLS of a protocol that has none', { ...jsonOf(good), startTls: 'gopher' }],
  ];
  it.each(jsonCases)('in JSON: %s', async (_, body) => {
    const { status, headers, json: read } = await askJson(body);
    expect([status, headers['content-type']]).toEqual([400, 'application/problem+json']);
    expect(read()).toEqual(problem(400, 'malformed'));
    expect(scene.questions).toEqual([]);
  });

  const meanings: readonly (readonly [string, VoucherRequest['chains'], RegExp])[] = [
    ['a chain that does not link', [[leaf.der, webRoot.der]], /issuer/],
    ['a name not in the certificate', [chainOf(webLeaf({ dnsNames: ['example.org'] }))], /not for www/],
    ['the same leaf twice', [chainOf(leaf), chainOf(leaf)], /same leaf/],
    ['a CA certificate as leaf', [[webIntermediate.der, webRoot.der]], /certificate 0/],
    ['a certificate that is none', [[Uint8Array.of(0x30, 0)]], /cannot be read/],
    [
      'a signature by another key',
      [[webLeaf({ issuer: { ...webRoot, subject: 'Web Intermediate' } }).der, webIntermediate.der]],
      /did not sign/,
    ],
  ];
  it.each(meanings)('by its certificates: %s', async (_, chains, detail) => {
    const { status, body } = await ask(encodeVoucherRequest({ ...good, chains }));
    expect(status).toBe(400);
    expect(results(body)).toMatchObject([{ reason: 'malformed', detail: saying(detail) }]);
    expect(scene.questions).toEqual([]);
  });

  it('a good chain does not vouch for its certificates in another arrangement', async () => {
    expect((await ask(goodDer)).status).toBe(200);
    const apart = { ...good, chains: [[leaf.der], [webIntermediate.der]] };
    expect((await ask(encodeVoucherRequest(apart))).status).toBe(400);
    expect((await ask(goodDer)).status).toBe(200);
  });

  it('whatever the bytes are', async () => {
    const agent = new Agent({ keepAlive: true });
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 0, max: goodDer.length - 1 }),
        fc.integer({ min: 1, max: 255 }),
        fc.boolean(),
        async (at, flip, asJson) => {
          const bytes = asJson ? Buffer.from(encodeVoucherRequestJson(good)) : Buffer.from(goodDer);
          bytes[at]! ^= flip;
          const { status } = await ask(bytes, { agent, ...(asJson && { headers: json }) });
          expect([200, 400, 403]).toContain(status);
        },
      ),
      { numRuns: 200 },
    );
    agent.destroy();
    expect(scene.lines.filter(({ level }) => level === 'error')).toEqual([]);
  });
});
