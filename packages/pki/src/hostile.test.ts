import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  createTrustStore,
  crlDistributionPoints,
  der,
  encodeOcspRequest,
  issuedByOwnCa,
  nameText,
  ocspUris,
  parseCertificate,
  parseCrl,
  parseOcspResponse,
  pemCertificates,
  PkiError,
  subjectAltNames,
  verifyOcsp,
  extensionOids,
} from './index.ts';
import { crlStatus, freshestCrl, issuingDistributionPoint, makeCrl } from './testing/crl.ts';
import {
  authority,
  directoryName,
  dnsName,
  emailName,
  ext,
  ipName,
  now,
  server,
  uriName,
  extension,
} from './testing/issue.ts';
import { embeddedSctLeaf } from './testing/sct.ts';

const root = authority('Root', {
  change: {
    constraints: ext.nameConstraints(
      [dnsName('example.com'), directoryName(authority('x').certificate.subject)],
      [ipName(10, 0, 0, 0, 255, 0, 0, 0), emailName('.example.net'), uriName('.example.org')],
    ),
    policies: ext.policies('1.2.3', '2.5.29.32.0'),
  },
});
const ica = authority('Intermediate', {
  issuer: root,
  change: { points: ext.crlDistributionPoint('http://a/b') },
});
const leaf = embeddedSctLeaf(ica, now).leaf;
const crl = makeCrl(ica, {
  revoked: [{ serial: leaf.certificate.serial, reason: 1 }, { serial: Uint8Array.of(1) }],
  change: { idp: issuingDistributionPoint.uri('http://a/b', 1), fresh: freshestCrl('http://a/c') },
});
/** OCSPResponse with a basic response whose signature is none. */
const ocsp = (() => {
  const time = der.generalizedTime(now);
  const certId = encodeOcspRequest(leaf.certificate, ica.certificate).subarray(8);
  const single = der.sequence(certId, der.tlv(0x80), time);
  const data = der.sequence(der.tlv(0xa2, der.octetString(new Uint8Array(20))), time, der.sequence(single));
  const basic = der.sequence(
    data,
    der.sequence(der.oid('1.2.840.10045.4.3.2')),
    der.bitString(new Uint8Array(70)),
  );
  const bytes = der.sequence(der.oid('1.3.6.1.5.5.7.48.1.1'), der.octetString(basic));
  return der.sequence(der.enumerated(0), der.tlv(0xa0, bytes));
})();

/** One octet replaced, or up to eight changes: octets replaced, pieces cut out or doubled. */
const mutated = (original: Uint8Array) => fc.oneof(replaced(original), torn(original));

const replaced = (original: Uint8Array) =>
  fc
    .tuple(fc.nat(original.length - 1), fc.nat(255))
    .map(([at, octet]) => Uint8Array.from(original).fill(octet, at, at + 1));

const torn = (original: Uint8Array) =>
  fc
    .array(fc.tuple(fc.constantFrom('set', 'cut', 'double'), fc.nat(original.length - 1), fc.nat(255)), {
      minLength: 1,
      maxLength: 8,
    })
    .map((changes) => {
      let bytes = Uint8Array.from(original);
      for (const [kind, at, value] of changes) {
        const piece = bytes.subarray(at, at + (value & 15));
        if (kind === 'set') bytes[at] = value;
        else if (kind === 'cut')
          bytes = Uint8Array.from([...bytes.subarray(0, at), ...bytes.subarray(at + piece.length)]);
        else bytes = Uint8Array.from([...bytes.subarray(0, at), ...piece, ...bytes.subarray(at)]);
      }
      return bytes;
    });

function onlyPkiError(action: () => void): void {
  try {
    action();
  } catch (error) {
    if (!(error instanceof PkiError)) throw error;
  }
}

const numRuns = 3_000;
/** The usual extensions of test certificates, by OID. */
const known: Readonly<Record<string, string>> = {
  [extensionOids.basicConstraints]: 'basicConstraints',
  [extensionOids.keyUsage]: 'keyUsage',
  [extensionOids.subjectKeyIdentifier]: 'subjectKeyIdentifier',
  [extensionOids.authorityKeyIdentifier]: 'authorityKeyIdentifier',
  [extensionOids.extKeyUsage]: 'extKeyUsage',
  [extensionOids.subjectAltName]: 'subjectAltName',
};

describe('hostile bytes throw nothing but PkiError', () => {
  it('as certificates', () => {
    const one = fc.oneof(
      ...[root, ica, leaf].map(({ der }) => mutated(der)),
      fc.uint8Array({ maxLength: 60 }),
    );
    fc.assert(
      fc.property(one, (bytes) =>
        onlyPkiError(() => {
          const certificate = parseCertificate(bytes);
          for (const read of [subjectAltNames, crlDistributionPoints, ocspUris])
            onlyPkiError(() => void read(certificate));
          onlyPkiError(() => void nameText(certificate.subject));
        }),
      ),
      { numRuns },
    );
  });

  it('as chains, in any place', () => {
    const store = createTrustStore([
      {
        id: 'OWN',
        anchors: [
          {
            certificate: root.certificate,
            constraints: [{ sctUntil: now, permittedDnsNames: ['example.com'] }],
          },
        ],
      },
    ]);
    const chains = fc.tuple(
      fc.oneof(fc.constant(leaf.der), mutated(leaf.der)),
      fc.oneof(fc.constant(ica.der), mutated(ica.der)),
      fc.oneof(fc.constant(root.der), mutated(root.der)),
    );
    fc.assert(
      fc.property(chains, (chain) =>
        onlyPkiError(() => {
          const evaluation = store.evaluate({ chain, name: { dns: 'www.example.com' }, now });
          issuedByOwnCa(evaluation, [root.certificate]);
        }),
      ),
      { numRuns },
    );
  });

  it('as extensions that a CA of their own signed', () => {
    const values = [
      ...root.certificate.extensions,
      ...ica.certificate.extensions,
      ...leaf.certificate.extensions,
    ];
    const broken = fc
      .constantFrom(...values)
      .chain(({ oid, critical, value }) => fc.tuple(fc.constant(oid), fc.constant(critical), mutated(value)));
    const store = createTrustStore([{ id: 'OWN', anchors: [{ certificate: root.certificate }] }]);
    fc.assert(
      fc.property(broken, fc.boolean(), ([oid, critical, value], below) => {
        const change = { [oid]: extension(oid, value, critical) };
        const usual = oid in known ? { [known[oid]!]: undefined } : {};
        const ca = authority('CA', { issuer: ica, change: below ? {} : { ...usual, ...change } });
        const end = server('www.example.com', ca, below ? { change: { ...usual, ...change } } : {});
        onlyPkiError(() => {
          const { contexts } = store.evaluate({ chain: [end.der, ca.der, ica.der], now });
          expect(contexts[0]!.trusted || contexts[0]!.reason !== undefined).toBe(true);
        });
      }),
      { numRuns: 1_500 },
    );
  });

  it('as CRLs, and none makes a revoked certificate good', () => {
    expect(crlStatus(leaf.certificate, ica.certificate, [crl], now).status).toBe('unknown');
    fc.assert(
      fc.property(fc.oneof(mutated(crl), fc.uint8Array({ maxLength: 60 })), (bytes) => {
        onlyPkiError(() => void parseCrl(bytes).entries.find(leaf.certificate.serial));
        expect(crlStatus(leaf.certificate, ica.certificate, [bytes], now).status).not.toBe('good');
      }),
      { numRuns },
    );
  });

  it('as OCSP responses', () => {
    expect(() => verifyOcsp(ocsp, leaf.certificate, ica.certificate, now)).toThrow(PkiError);
    expect(parseOcspResponse(ocsp).responses).toHaveLength(1);
    fc.assert(
      fc.property(fc.oneof(mutated(ocsp), fc.uint8Array({ maxLength: 60 })), (bytes) =>
        onlyPkiError(() => {
          parseOcspResponse(bytes);
          verifyOcsp(bytes, leaf.certificate, ica.certificate, now);
          throw new Error('a response that nobody signed was accepted');
        }),
      ),
      { numRuns },
    );
  });

  it('as PEM', () => {
    fc.assert(
      fc.property(fc.base64String(), (text) =>
        onlyPkiError(
          () => void pemCertificates(`-----BEGIN CERTIFICATE-----\n${text}\n-----END CERTIFICATE-----`),
        ),
      ),
    );
  });
});

describe('a chain that asks for work', () => {
  it('with thousands of names under thousands of constraints ends at the budget', () => {
    const many = Array.from({ length: 3_000 }, (_, i) => dnsName(`t${i}.test`));
    const constrained = authority('Many', {
      issuer: root,
      change: { constraints: ext.nameConstraints(many, many.slice(0, 10)) },
    });
    const loaded = server('t0.test', constrained, { change: { subjectAltName: ext.subjectAltName(many) } });
    const store = createTrustStore([
      { id: 'OWN', anchors: [{ certificate: authority('Root').certificate }] },
    ]);
    const started = performance.now();
    const { reason } = store.evaluate({ chain: [loaded.der, constrained.der], now }).contexts[0]!;
    expect(reason).toMatchObject({ code: 'budget', rule: 'RFC 5280 4.2.1.10' });
    expect(performance.now() - started).toBeLessThan(2_000);
  });

  it('as a certificate of megabytes is not read', () => {
    expect(() => parseCertificate(new Uint8Array(300_000))).toThrow(
      expect.objectContaining({ code: 'limit' }),
    );
  });
});
