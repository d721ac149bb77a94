import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import * as arbitraries from './arbitraries.ts';
import { VoucherError } from './error.ts';
import { parseJson } from './json-parser.ts';
import { decodeVoucherRequestJson, encodeVoucherRequestJson } from './request-json.ts';
import { decodeVoucherResponseJson, encodeVoucherResponseJson } from './response-json.ts';
import { maxRequestOctets, maxResponseOctets } from './vrp.ts';
import { decodeVoucherRequest } from './vrp-decoder.ts';
import { encodeVoucherRequest } from './vrp-encoder.ts';

const bytesOf = (text: string): Uint8Array => Buffer.from(text);
const json = (value: unknown): Uint8Array => bytesOf(JSON.stringify(value));

describe('round trip', () => {
  test('a request says the same in JSON and in DER', () => {
    fc.assert(
      fc.property(arbitraries.request, (request) => {
        const fromJson = decodeVoucherRequestJson(bytesOf(encodeVoucherRequestJson(request)));
        const fromDer = decodeVoucherRequest(encodeVoucherRequest(request));
        expect(plain(fromJson)).toEqual(plain(fromDer));
      }),
      { numRuns: 300 },
    );
  });

  test('every response comes back', () => {
    fc.assert(
      fc.property(arbitraries.response, (response) => {
        const decoded = decodeVoucherResponseJson(bytesOf(encodeVoucherResponseJson(response)));
        expect(plain(decoded)).toEqual(plain(response));
      }),
      { numRuns: 300 },
    );
  });

  test('the largest response fits its bound', () => {
    const outcome = { verdict: 'inconclusive', code: '\0'.repeat(64) } as const;
    const result = {
      leaf: new Uint8Array(32),
      status: 'issued' as const,
      retryAfter: 2 ** 32 - 1,
      detail: '\0'.repeat(1024),
      voucher: new Uint8Array(65_500),
      perspectives: Array.from({ length: 64 }, () => ({
        country: 'DE',
        rir: 'ripencc' as const,
        asn: 2 ** 32 - 1,
        ipv4: outcome,
        ipv6: outcome,
      })),
    };
    const text = encodeVoucherResponseJson({ results: [result, result, result, result] });
    expect(text.length).toBeLessThan(maxResponseOctets);
    expect(decodeVoucherResponseJson(bytesOf(text)).results).toHaveLength(4);
  });
});

/** Buffers and plain byte arrays alike, as hexadecimal text. */
function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) return Buffer.from(value).toString('hex');
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, plain(member)]));
}

const good = {
  version: 1,
  addresses: ['192.0.2.1', '2001:DB8::1'],
  port: 443,
  serverName: 'www.example.org',
  chains: [['MAA=', 'MAEA']],
};

describe('a request in JSON', () => {
  test('takes addresses as text, in either order', () => {
    const { ipv4, ipv6 } = decodeVoucherRequestJson(
      json({ ...good, addresses: ['2001:DB8::1', '192.0.2.1'] }),
    );
    expect(Buffer.from(ipv4!).toString('hex')).toBe('c0000201');
    expect(Buffer.from(ipv6!).toString('hex')).toBe('20010db8000000000000000000000001');
  });

  test('takes certificates as PEM', () => {
    const pem = '-----BEGIN CERTIFICATE-----\r\nMA\r\nA=\r\n-----END CERTIFICATE-----\r\n';
    const { chains } = decodeVoucherRequestJson(json({ ...good, chains: [[pem]] }));
    expect(Buffer.from(chains[0]![0]!).toString('hex')).toBe('3000');
  });

  test('takes proofs in any order', () => {
    const proofs = [
      { chain: 1, signature: 'AQ==' },
      { chain: 0, signature: 'Ag==' },
    ];
    const request = decodeVoucherRequestJson(json({ ...good, chains: [['MAA='], ['MAEA']], proofs }));
    expect(request.proofs!.map((one) => one.chain)).toEqual([0, 1]);
  });

  const { port: _, ...withoutPort } = good;
  const proof = { chain: 0, signature: 'AQ==' };
  const cases: readonly [string, unknown, string][] = [
    ['no object', [], 'request: an object belongs here'],
    ['null', null, 'request: an object belongs here'],
    ['an unknown member', { ...good, hostName: 'x' }, 'request: unknown member "hostName"'],
    ['__proto__', JSON.parse('{"__proto__": 1}'), 'request: unknown member "__proto__"'],
    ['a missing member', withoutPort, 'request: member "port" is missing'],
    ['a port as text', { ...good, port: '443' }, 'request.port: an integer belongs here'],
    ['port 0', { ...good, port: 0 }, 'request.port: 0, where 1 to 65535 belong'],
    ['half a port', { ...good, port: 0.5 }, 'request.port: an integer belongs here'],
    ['a nonce of null', { ...good, nonce: null }, 'request.nonce: a string belongs here'],
    ['a short nonce', { ...good, nonce: 'AAAA' }, 'request.nonce: 3 octets, where 16 to 64 belong'],
    ['no address', { ...good, addresses: [] }, 'request.addresses: 0 items, where 1 to 2 belong'],
    [
      'two IPv4 addresses',
      { ...good, addresses: ['192.0.2.1', '192.0.2.2'] },
      'request.addresses: two of one kind',
    ],
    [
      'a host for an address',
      { ...good, addresses: ['example.org'] },
      'request.addresses[0]: "example.org" is no IP address',
    ],
    [
      'an octal address',
      { ...good, addresses: ['192.0.02.1'] },
      'request.addresses[0]: "192.0.02.1" is no IP address',
    ],
    [
      'a zone',
      { ...good, addresses: ['fe80::1%eth0'] },
      'request.addresses[0]: "fe80::1%eth0" is no IP address',
    ],
    [
      'an upper-case server name',
      { ...good, serverName: 'WWW.example.org' },
      'request.serverName: no lower-case host name',
    ],
    [
      'an unknown protocol',
      { ...good, startTls: 'gopher' },
      'request.startTls: "gopher" is none of smtp, lmtp',
    ],
    ['base64url', { ...good, chains: [['MA_-']] }, 'request.chains[0][0]: no canonical base64'],
    ['base64 without padding', { ...good, chains: [['MAA']] }, 'request.chains[0][0]: no canonical base64'],
    ['base64 with stray bits', { ...good, chains: [['MAB=']] }, 'request.chains[0][0]: no canonical base64'],
    [
      'two certificates in one PEM',
      { ...good, chains: [['-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n'.repeat(2)]] },
      'request.chains[0][0]: no canonical base64',
    ],
    [
      'a certificate that is none',
      { ...good, chains: [['MAA=', 'AQ==']] },
      'request.chains[0][1]: no certificate in DER',
    ],
    [
      'a certificate with trailing octets',
      { ...good, chains: [['MAAA']] },
      'request.chains[0][0]: no certificate in DER',
    ],
    [
      'two certificates run together',
      { ...good, chains: [['MAAwAA==']] },
      'request.chains[0][0]: no certificate in DER',
    ],
    [
      'five chains',
      { ...good, chains: Array.from({ length: 5 }, () => ['MAA=']) },
      'request.chains: 5 items, where 1 to 4 belong',
    ],
    [
      'a proof for no chain',
      { ...good, proofs: [{ ...proof, chain: 1 }] },
      'request.proofs[0].chain: 1, where 0 to 0 belong',
    ],
    [
      'two proofs for a chain',
      { ...good, proofs: [proof, proof] },
      'request.proofs: two proofs for one chain',
    ],
    [
      'an unknown member of a proof',
      { ...good, proofs: [{ ...proof, key: 1 }] },
      'request.proofs[0]: unknown member "key"',
    ],
    [
      'an OID that is none',
      { ...good, extensions: [{ oid: '3.1', value: '' }] },
      'request.extensions[0].oid: "3.1" is no object identifier',
    ],
  ];
  test.each(cases)('refuses %s', (_, value, message) => {
    expect(() => decodeVoucherRequestJson(json(value))).toThrow(
      expect.objectContaining({ code: 'malformed', message: expect.stringContaining(message) }),
    );
  });

  test('refuses a member given twice, at any depth', () => {
    const twice = JSON.stringify(good).replace('"port":443', '"port":443,"p\\u006frt":444');
    expect(() => decodeVoucherRequestJson(bytesOf(twice))).toThrow('voucher request: member "port" twice');
    const deep = JSON.stringify({ ...good, proofs: [proof] }).replace('"chain":0', '"chain":0,"chain":0');
    expect(() => decodeVoucherRequestJson(bytesOf(deep))).toThrow('member "chain" twice');
  });

  test('refuses another version and unknown critical extensions with their own codes', () => {
    expect(() => decodeVoucherRequestJson(json({ ...good, version: 2 }))).toThrow(
      expect.objectContaining({ code: 'unsupported-version' }),
    );
    const extensions = [{ oid: '1.3.6', critical: true, value: '' }];
    expect(() => decodeVoucherRequestJson(json({ ...good, extensions }))).toThrow(
      expect.objectContaining({ code: 'unknown-critical-extension' }),
    );
  });

  test('refuses more than 64 KiB, before reading it', () => {
    expect(() => decodeVoucherRequestJson(new Uint8Array(maxRequestOctets + 1).fill(0x20))).toThrow(
      'above 65536 octets',
    );
  });
});

describe('a response in JSON', () => {
  const response = {
    version: 1,
    results: [
      { status: 'refused', reason: 'revoked', perspectives: [{ country: 'DE', rir: 'ripencc', asn: 1 }] },
    ],
  };
  const withResult = (fields: object) => ({ ...response, results: [{ ...response.results[0], ...fields }] });
  const cases: readonly [string, unknown, string][] = [
    ['an unknown status', withResult({ status: 'ok' }), 'response.results[0].status: "ok" is none of issued'],
    [
      'issued without a voucher',
      withResult({ status: 'issued', reason: undefined }),
      '"voucher" belongs exactly when issued',
    ],
    [
      'a reason without a refusal',
      withResult({ status: 'mismatch' }),
      '"reason" belongs exactly when refused',
    ],
    ['a retryAfter below zero', withResult({ retryAfter: -1 }), 'response.results[0].retryAfter: -1'],
    ['an empty detail', withResult({ detail: '' }), 'response.results[0].detail: 0 octets'],
    ['a lone surrogate', withResult({ detail: '\ud800' }), 'response.results[0].detail: a lone surrogate'],
    [
      'a country in lower case',
      withResult({ perspectives: [{ country: 'de', rir: 'ripencc', asn: 1 }] }),
      'results[0].perspectives[0].country: "de" is no country code',
    ],
    [
      'an unknown verdict',
      withResult({ perspectives: [{ country: 'DE', rir: 'ripencc', asn: 1, ipv4: { verdict: 'yes' } }] }),
      'perspectives[0].ipv4.verdict: "yes" is none of match',
    ],
  ];
  test.each(cases)('refuses %s', (_, value, message) => {
    expect(() => decodeVoucherResponseJson(json(value))).toThrow(
      expect.objectContaining({ code: 'malformed', message: expect.stringContaining(message) }),
    );
  });
});

describe('JSON itself', () => {
  test('agrees with JSON.parse on what is JSON, and on what it says', () => {
    const texts = fc.oneof(
      fc.json({ maxDepth: 4 }),
      fc
        .json({ maxDepth: 2 })
        .chain((text) =>
          fc
            .tuple(fc.nat(text.length), fc.constantFrom(...'{}[]",:\\0-.eEtfn \t\u0001\u00e4'.split('')))
            .map(([at, char]) => text.slice(0, at) + char + text.slice(at + 1)),
        ),
    );
    fc.assert(
      fc.property(texts, (text) => {
        let expected: unknown;
        let valid = true;
        try {
          expected = JSON.parse(text);
        } catch {
          valid = false;
        }
        try {
          expect(plainJson(parseJson('test', bytesOf(text), 65_536))).toEqual(expected);
          expect(valid).toBe(true);
        } catch (error) {
          if (!(error instanceof VoucherError)) throw error;
          // Members given twice are where the two may part.
          if (!error.message.endsWith(' twice')) expect(valid).toBe(false);
        }
      }),
      { numRuns: 3000 },
    );
  });

  test.each([
    ['deep nesting', '['.repeat(5000)],
    ['a byte order mark', '\ufeff{}'],
    ['a trailing comma', '[1,]'],
    ['a member without a name', '{:1}'],
    ['a name without quotes', '{a:1}'],
    ['two values', '{} {}'],
    ['a comment', '/**/{}'],
    ['a raw line break in a string', '"\n"'],
    ['nothing', ''],
    ['NaN', 'NaN'],
    ['a leading zero', '01'],
    ['a plus sign', '+1'],
  ])('refuses %s', (_, text) => {
    expect(() => parseJson('test', bytesOf(text), 65_536)).toThrow(VoucherError);
  });

  test('refuses what is not UTF-8', () => {
    expect(() => parseJson('test', Uint8Array.of(0x22, 0xff, 0x22), 100)).toThrow('test: not UTF-8');
  });

  test('reads a long string in time', () => {
    const text = JSON.stringify('\\"x'.repeat(100_000));
    expect(parseJson('test', bytesOf(text), 1_000_000)).toBe('\\"x'.repeat(100_000));
  });
});

function plainJson(value: ReturnType<typeof parseJson>): unknown {
  if (value instanceof Map) {
    // defineProperty, since a member may be called __proto__.
    const object = {};
    for (const [name, member] of value) {
      Object.defineProperty(object, name, {
        value: plainJson(member),
        enumerable: true,
        writable: true,
        configurable: true,
      });
    }
    return object;
  }
  return Array.isArray(value) ? value.map(plainJson) : value;
}
