/**
 * Chains of certificates whose parts were thrown together by chance. Whatever is accepted here, `openssl verify`
 * accepts as well, but for what is known.
 */
import * as fc from 'fast-check';
import { afterAll, expect, it } from 'vitest';
import { createTrustStore, der, extensionOids, PkiError, toPem } from './index.ts';
import {
  authority,
  commonName,
  directoryName,
  dnsName,
  ext,
  extension,
  ipName,
  type Issued,
  keyOf,
  now,
  server,
} from './testing/issue.ts';
import { OpenSsl } from './testing/openssl.ts';

const openssl = new OpenSsl();
afterAll(() => openssl[Symbol.dispose]());

const host = 'www.example.com';
const root = authority('Root');
const purposes = { server: '1.3.6.1.5.5.7.3.1', client: '1.3.6.1.5.5.7.3.2' };
const permitted = (...names: Uint8Array[]) => ext.nameConstraints(names, []);
const excluded = (...names: Uint8Array[]) => ext.nameConstraints([], names);

type Parts = Readonly<Record<string, readonly (Uint8Array | undefined)[]>>;
const ofAny: Parts = {
  basicConstraints: [
    ext.basicConstraints(true),
    ext.basicConstraints(true, 0),
    ext.basicConstraints(true, undefined, false),
    ext.basicConstraints(false),
    undefined,
  ],
  keyUsage: [ext.keyUsage(5, 6), ext.keyUsage(6), ext.keyUsage(0), ext.keyUsage(0, 5)],
  extKeyUsage: [
    ext.extKeyUsage(purposes.server),
    ext.extKeyUsage(purposes.client),
    ext.extKeyUsage(purposes.server, purposes.client),
    undefined,
  ],
  unknown: [
    extension('1.3.6.1.4.1.99999.1', der.nullValue(), true),
    extension('1.3.6.1.4.1.99999.1', der.nullValue()),
  ],
  policies: [ext.policies('1.2.3'), ext.policies('2.5.29.32.0'), ext.policies('1.2.4')],
};
const ofCa: Parts = {
  ...ofAny,
  nameConstraints: [
    permitted(dnsName('example.com')),
    permitted(dnsName('example.net')),
    permitted(dnsName('EXAMPLE.COM'), ipName(10, 0, 0, 0, 255, 0, 0, 0)),
    permitted(ipName(10, 0, 0, 0, 255, 0, 0, 0)),
    permitted(directoryName(commonName(host))),
    excluded(dnsName('example.com')),
    excluded(dnsName('other.example.com')),
    excluded(dnsName('')),
    excluded(ipName(10, 0, 0, 0, 255, 0, 0, 0)),
    excluded(directoryName(commonName(host))),
  ],
  policyConstraints: [0, 1].map((skip) =>
    extension(extensionOids.policyConstraints, der.sequence(der.tlv(0x80, Uint8Array.of(skip))), true),
  ),
  inhibitAnyPolicy: [0, 1].map((skip) => extension(extensionOids.inhibitAnyPolicy, der.integer(skip), true)),
};
const ofLeaf: Parts = {
  ...ofAny,
  subjectAltName: [
    ext.subjectAltName([dnsName(host)]),
    ext.subjectAltName([dnsName('*.example.com'), dnsName(host)]),
    ext.subjectAltName([dnsName(host), ipName(10, 0, 0, 1)]),
    ext.subjectAltName([dnsName(host), dnsName('other.example.com')]),
    ext.subjectAltName([dnsName('example.com')]),
  ],
};

/** Up to two extensions that are not the usual ones. */
const changes = (parts: Parts) =>
  fc
    .array(
      fc
        .constantFrom(...Object.keys(parts))
        .chain((name) => fc.constantFrom(...parts[name]!).map((value) => [name, value] as const)),
      { maxLength: 2 },
    )
    .map((list) => Object.fromEntries(list));
const oddities = fc.oneof(
  { weight: 8, arbitrary: fc.constant({}) },
  {
    weight: 1,
    arbitrary: fc.constantFrom<object>(
      { notAfter: new Date(now.getTime() - 86_400_000) },
      { notBefore: new Date(now.getTime() + 86_400_000) },
      { signer: keyOf('nobody') },
      { issuerName: commonName('Somebody') },
    ),
  },
);
const certificate = (parts: Parts) =>
  fc.tuple(oddities, changes(parts)).map(([odd, change]) => ({ ...odd, change }));
const shapes = fc.record({
  intermediates: fc.array(certificate(ofCa), { maxLength: 2 }),
  leaf: certificate(ofLeaf),
});

function issued({ intermediates, leaf }: typeof shapes extends fc.Arbitrary<infer T> ? T : never): Issued[] {
  const chain: Issued[] = [];
  for (const [i, shape] of intermediates.entries()) {
    chain.unshift(authority(`Intermediate ${i}`, { issuer: chain[0] ?? root, ...shape }));
  }
  return [server(host, chain[0] ?? root, leaf), ...chain];
}

function accepted(chain: readonly Issued[], profile: 'tls-br' | 'rfc5280'): boolean {
  const contexts = [{ id: 'OWN', anchors: [{ certificate: root.certificate }] }];
  const request = { chain: chain.map((one) => one.der), name: { dns: host }, now };
  try {
    return createTrustStore(contexts, { profile }).evaluate(request).contexts[0]!.trusted;
  } catch (error) {
    if (error instanceof PkiError) return false;
    throw error;
  }
}

/** openssl with -x509_strict holds certificates to more of RFC 5280 chapter 4 than can be asked of old ones. */
const stricter = [
  /CA cert does not include key usage/,
  /Missing Subject Key Identifier/,
  /Path length given/,
];

it('nothing is accepted that openssl verify refuses', { timeout: 120_000 }, async () => {
  const rootFile = openssl.write('root.pem', toPem(root.der, 'CERTIFICATE'));
  const chains = fc.sample(shapes, { seed: 20_261_122, numRuns: 400 }).map(issued);
  const interesting = chains.filter((chain) => accepted(chain, 'tls-br') || accepted(chain, 'rfc5280'));
  // Enough of either outcome to mean something.
  expect(interesting.length).toBeGreaterThan(60);
  expect(chains.length - interesting.length).toBeGreaterThan(100);
  const surprises: string[] = [];
  const queue = [...interesting.entries()];
  const work = async () => {
    for (let next = queue.pop(); next; next = queue.pop()) {
      const [i, [leaf, ...bag]] = next;
      const bagFile = openssl.write(`${i}-bag.pem`, bag.map((one) => toPem(one.der, 'CERTIFICATE')).join(''));
      const leafFile = openssl.write(`${i}-leaf.pem`, toPem(leaf!.der, 'CERTIFICATE'));
      const { code, output } = await openssl.attempt(
        'verify',
        '-x509_strict',
        '-no-CApath',
        '-no-CAstore',
        '-policy',
        '2.5.29.32.0',
        '-purpose',
        'sslserver',
        '-verify_hostname',
        host,
        '-attime',
        String(now.getTime() / 1000),
        '-CAfile',
        rootFile,
        ...(bag.length > 0 ? ['-untrusted', bagFile] : []),
        leafFile,
      );
      if (code !== 0 && !stricter.some((known) => known.test(output))) surprises.push(output);
    }
  };
  await Promise.all([work(), work()]);
  expect(surprises).toEqual([]);
});
