import { der, extensionOids } from '@mecai/pki';
import { describe, expect, test } from 'vitest';
import { checkVoucherRequest, type RequestRule } from './request-check.ts';
import { keyUsages, type TestCertificate, testCertificate, testExtension, testKey } from './testing.ts';
import { signed } from './va-certificate.ts';

const ca = { ca: true, keyUsage: keyUsages.keyCertSign };
const root = testCertificate({ subject: 'Root', ...ca });
const intermediate = testCertificate({ subject: 'Intermediate', issuer: root, ...ca });
const serverName = 'www.example.org';
const leafOf = (issuer: TestCertificate, fields: object = {}) =>
  testCertificate({ subject: 'leaf', issuer, dnsNames: [serverName], ...fields });
const leaf = leafOf(intermediate);

const requestFor = (...chains: readonly (readonly (TestCertificate | Uint8Array)[])[]) => ({
  ipv4: Uint8Array.of(192, 0, 2, 1),
  port: 443,
  serverName,
  chains: chains.map((chain) => chain.map((one) => (one instanceof Uint8Array ? one : one.der))),
});

test('chains that link are good, with and without the root', () => {
  for (const chain of [[leaf, intermediate], [leaf, intermediate, root], [leaf]]) {
    const { problems, chains } = checkVoucherRequest(requestFor(chain));
    expect(problems).toEqual([]);
    expect(chains[0]!.map((one) => one.der)).toEqual(chain.map((one) => one.der));
  }
});

test('a self-signed leaf is left to the judgement of trust', () => {
  expect(
    checkVoucherRequest(requestFor([testCertificate({ subject: 'self', dnsNames: [serverName] })])).problems,
  ).toEqual([]);
});

describe('each rule, with the chain and the certificate it is about', () => {
  const unreadable = [
    testExtension(extensionOids.basicConstraints, true, der.nullValue()),
    testExtension(extensionOids.keyUsage, true, der.tlv(0x03, Uint8Array.of(2, 0x04))),
  ];
  const brokenCa = testCertificate({ subject: 'Intermediate', issuer: root, extensions: unreadable });
  const impostor = testCertificate({ subject: 'Intermediate', issuer: root, ...ca, key: testKey() });
  const cases: readonly [string, readonly (TestCertificate | Uint8Array)[], RequestRule, number][] = [
    ['an unreadable leaf', [Uint8Array.of(0x30, 0)], 'certificate-form', 0],
    ['an unreadable intermediate', [leaf, Uint8Array.of(0x30, 0)], 'certificate-form', 1],
    ['a leaf with trailing octets', [Uint8Array.of(...leaf.der, 0)], 'certificate-form', 0],
    ['an unreadable extension', [leaf, brokenCa], 'certificate-form', 1],
    [
      'an unreadable subjectAltName',
      [withoutNames([testExtension('2.5.29.17', false, der.nullValue())])],
      'certificate-form',
      0,
    ],
    [
      'a leaf for another name',
      [leafOf(intermediate, { dnsNames: ['example.org'] }), intermediate],
      'server-name',
      0,
    ],
    ['a leaf without a name', [withoutNames([])], 'server-name', 0],
    [
      'a wildcard one label too high',
      [leafOf(intermediate, { dnsNames: ['*.www.example.org'] })],
      'server-name',
      0,
    ],
    ['a leaf that is a CA', [leafOf(intermediate, { ca: true })], 'leaf-is-ca', 0],
    ['a certificate twice', [leaf, intermediate, intermediate], 'duplicate-certificate', 2],
    ['the wrong order', [leaf, root, intermediate], 'issuer-name', 0],
    ['a gap', [leaf, root], 'issuer-name', 0],
    ['a stray at the end', [leaf, intermediate, leafOf(root, { serial: 9 })], 'issuer-name', 1],
    ['an issuer that is no CA', [leafOf(leaf), leaf], 'issuer-is-no-ca', 1],
    [
      'an issuer that may not sign certificates',
      [
        leaf,
        testCertificate({
          subject: 'Intermediate',
          issuer: root,
          ca: true,
          keyUsage: keyUsages.digitalSignature,
        }),
      ],
      'issuer-is-no-ca',
      1,
    ],
    ['an issuer of the same name with another key', [leaf, impostor], 'signature', 0],
  ];

  test.each(cases)('%s', (_, chain, rule, certificate) => {
    const good = leafOf(intermediate, { serial: 99 });
    const { problems } = checkVoucherRequest(requestFor([good, intermediate], chain));
    expect(problems).toMatchObject([{ rule, chain: 1, certificate }]);
    expect(problems[0]!.message).toMatch(new RegExp(`^chain 1, certificate ${certificate}: `));
  });

  function withoutNames(extensions: readonly Uint8Array[]): TestCertificate {
    return testCertificate({ subject: 'leaf', issuer: intermediate, extensions });
  }
});

test('a wildcard stands for one label', () => {
  const wildcard = leafOf(intermediate, { dnsNames: ['*.example.org'] });
  expect(checkVoucherRequest(requestFor([wildcard, intermediate])).problems).toEqual([]);
});

test('two chains with one leaf', () => {
  const { problems } = checkVoucherRequest(requestFor([leaf, intermediate], [leaf]));
  expect(problems).toMatchObject([{ rule: 'duplicate-leaf', chain: 1, certificate: 0 }]);
});

test('each bad chain has its problem', () => {
  const { problems } = checkVoucherRequest(
    requestFor([Uint8Array.of(0x30, 0)], [leaf], [leafOf(root, { ca: true })]),
  );
  expect(problems.map((one) => [one.chain, one.rule])).toEqual([
    [0, 'certificate-form'],
    [2, 'leaf-is-ca'],
  ]);
});

test('signatures may be remembered by the caller, and are asked for last', () => {
  const asked: string[] = [];
  const options = {
    signed: (...link: Parameters<typeof signed>) => {
      asked.push(link.map((one) => Buffer.from(one.der).toString('hex').slice(-8)).join(' '));
      return signed(...link);
    },
  };
  checkVoucherRequest(requestFor([leaf, intermediate, root]), options);
  expect(asked).toHaveLength(2);
  checkVoucherRequest(requestFor([leaf, root]), options);
  expect(asked).toHaveLength(2);
  const { problems } = checkVoucherRequest(requestFor([leaf, intermediate]), { signed: () => false });
  expect(problems).toMatchObject([{ rule: 'signature', chain: 0, certificate: 0 }]);
});
