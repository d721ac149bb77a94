/** Every failure code of the client, each through stock nginx: what a hostile or broken server can staple or send. */
import { hash } from 'node:crypto';
import { mkdtempSync, chmodSync, rmSync, mkdirSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { type ClientPolicy, type ServerCode, defaultPolicy } from '@mecai/client';
import { encodeServerInfo } from '@mecai/client/staple';
import { type ListedVa, listOf, listedVa, vaRevocation, voucherFor } from '@mecai/client/testing';
import { parseCertificate } from '@mecai/pki';
import { parseSignedVoucher, type Voucher } from '@mecai/voucher';
import { testOcsp, testVa } from '@mecai/voucher/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { intermediateCa, pem, rootCa, serverCertificate, type TestCertificate } from '../network/index.ts';
import { connect, guardOf } from './client.ts';
import { freePorts, identity, serverAddress, type Site, StockServers } from './stock-servers.ts';

const now = new Date();
const hours = (count: number) => new Date(now.getTime() + count * 3_600_000);
const directory = mkdtempSync(join(tmpdir(), 'mecai-codes-'));
chmodSync(directory, 0o755);
const file = (name: string, content?: string | Uint8Array, mode = 0o644) => {
  const path = join(directory, name);
  mkdirSync(dirname(path), { recursive: true });
  if (content !== undefined) writeFileSync(path, content, { mode });
  return path;
};
const servers = new StockServers({ directory, file });
const changed = (bytes: Uint8Array, at: number) => {
  const copy = Uint8Array.from(bytes);
  copy[at]! ^= 1;
  return copy;
};
/** With other octets of the same length in the place of `find`. */
function patched(signed: Uint8Array, find: Uint8Array, by: Uint8Array): Uint8Array {
  const at = Buffer.from(signed).indexOf(find);
  expect(at).toBeGreaterThan(0);
  const copy = Uint8Array.from(signed);
  copy.set(by, at);
  return copy;
}
const root = rootCa('Web Root');
const issuing = intermediateCa('Web CA', root);
const other = intermediateCa('Other CA', root);
const leaf = serverCertificate(issuing, { dns: ['www.shop.test'] });
const replaced = serverCertificate(issuing, { dns: ['www.shop.test'] });
/** TRUE as 01 where DER has FF: OpenSSL reads it and sends it on as it is. */
const sloppy = { ...issuing, der: patched(issuing.der, Uint8Array.of(1, 1, 0xff), Uint8Array.of(1, 1, 1)) };

interface Situation {
  readonly code: ServerCode;
  readonly what: string;
  /** Sent by the server, leaf first. */
  readonly chain?: readonly [TestCertificate, ...TestCertificate[]];
  readonly va?: ListedVa;
  readonly stapled?: (va: ListedVa, honest: Voucher) => Uint8Array;
  /** What comes under the codepoint of a second VA. */
  readonly stapledAsSecond?: (va: ListedVa, honest: Voucher) => Uint8Array;
  readonly policy?: Partial<ClientPolicy>;
}

/** A VA whose own certificate is as given. */
const vaWith = (changes: Parameters<typeof testVa>[1]): ListedVa => {
  const { entry } = listedVa(0, {}, now);
  const va = testVa('P-256', changes);
  const documents = vaRevocation(va, now);
  return {
    ...va,
    issue: (voucher, signingTime) => va.issue(voucher, signingTime, documents),
    entry: { ...entry, roots: [va.root.der] },
  };
};
const situations: readonly Situation[] = [
  { code: 'malformed', what: 'nonsense', stapled: () => Buffer.from('nonsense') },
  {
    code: 'unsupported-version',
    what: 'a voucher of another version',
    stapled: (va, honest) => {
      const before = Buffer.concat([Buffer.from([2, 1, 1, 4, 16]), honest.serial]);
      return patched(va.issue(honest), before, Buffer.concat([Buffer.from([2, 1, 2, 4, 16]), honest.serial]));
    },
  },
  {
    code: 'unknown-critical-extension',
    what: 'a voucher with an extension that has to be understood',
    stapled: (va, honest) =>
      va.issue({ ...honest, extensions: [{ oid: '1.2.3.4', critical: true, value: Uint8Array.of(5, 0) }] }),
  },
  {
    code: 'bad-digest',
    what: 'a voucher whose content was changed',
    stapled: (va, honest) => patched(va.issue(honest), honest.serial, changed(honest.serial, 3)),
  },
  {
    code: 'bad-signature',
    what: 'a voucher whose signature was changed',
    stapled: (va, honest) => {
      const signed = va.issue(honest);
      const { signature } = parseSignedVoucher(signed);
      return patched(signed, signature, changed(signature, signature.length - 1));
    },
  },
  {
    code: 'untrusted-va',
    what: 'a voucher of nobody',
    stapled: (_, honest) => listedVa(7, {}, now).issue(honest),
  },
  {
    code: 'not-a-voucher-certificate',
    what: 'a voucher signed with a TLS server’s certificate',
    va: vaWith({ extendedKeyUsage: ['1.3.6.1.5.5.7.3.1'] }),
  },
  {
    code: 'va-certificate-expired',
    what: 'a VA certificate of yesterday',
    va: vaWith({ notAfter: hours(-1) }),
  },
  {
    code: 'va-certificate-revoked',
    what: 'a VA certificate that its CA has revoked',
    stapled: (va, honest) => va.issue(honest, now, vaRevocation(va, now, 'revoked')),
  },
  {
    code: 'va-status-unknown',
    what: 'nothing about the VA certificate',
    stapled: (va, honest) => va.issue(honest, now, []),
  },
  {
    code: 'expired',
    what: 'a voucher of the day before',
    stapled: (va, honest) => va.issue({ ...honest, producedAt: hours(-30), notAfter: hours(-6) }),
  },
  {
    code: 'not-yet-valid',
    what: 'a voucher of tomorrow',
    stapled: (va, honest) => va.issue({ ...honest, producedAt: hours(20), notAfter: hours(40) }),
  },
  {
    code: 'bad-chain',
    what: 'an intermediate that is not DER, and a voucher for it',
    chain: [leaf, sloppy],
    stapled: (va, honest) => va.issue({ ...honest, intermediates: [hash('sha256', sloppy.der, 'buffer')] }),
  },
  { code: 'other-leaf', what: 'the voucher of the certificate before', chain: [replaced, issuing] },
  { code: 'other-intermediates', what: 'the intermediate left out', chain: [leaf] },
  { code: 'other-intermediates', what: 'a stray certificate behind it', chain: [leaf, issuing, other] },
  {
    code: 'other-port',
    what: 'the voucher of another port',
    stapled: (va, honest) => va.issue({ ...honest, port: honest.port === 443 ? 444 : 443 }),
  },
  {
    code: 'other-address',
    what: 'the voucher of another address',
    stapled: (va, honest) => va.issue({ ...honest, ipv4: Uint8Array.of(192, 0, 2, 1) }),
  },
  {
    code: 'same-ca',
    what: 'a voucher of the VA of its own CA',
    va: listedVa(
      0,
      { caKeys: [hash('sha256', issuing.publicKey.export({ type: 'spki', format: 'der' }), 'buffer')] },
      now,
    ),
  },
  {
    code: 'trust-context-missing',
    what: 'a voucher for other browsers',
    stapled: (va, honest) => va.issue({ ...honest, trustContexts: ['CHROME'] }),
    policy: { trustContext: 'MOZ' },
  },
  {
    code: 'weak-quorum',
    what: 'a voucher of one perspective',
    stapled: (va, honest) => va.issue({ ...honest, perspectives: honest.perspectives.slice(0, 1) }),
    policy: { quorum: { matches: 2 } },
  },
  {
    code: 'wrong-perspectives',
    what: 'a voucher without a perspective in Brazil',
    stapled: (va, honest) =>
      va.issue({ ...honest, perspectives: honest.perspectives.filter(({ country }) => country !== 'BR') }),
    policy: { choice: { choose: 3, accept: 1, rules: [{ perspectives: [{ in: ['BR'], atLeast: 1 }] }] } },
  },
  {
    code: 'va-not-chosen',
    what: 'a voucher of a retired VA in the place of another',
    va: listedVa(0, { status: 'retired' }, now),
    stapledAsSecond: (va, honest) => va.issue(honest),
  },
  {
    code: 'va-distrusted',
    what: 'a voucher of a distrusted VA in the place of another',
    va: listedVa(0, { status: 'distrusted' }, now),
    stapledAsSecond: (va, honest) => va.issue(honest),
  },
  {
    code: 'no-choice',
    what: 'a voucher where the rules leave no VA to choose',
    policy: { choice: { choose: 3, accept: 1, rules: [{ vas: { in: ['AQ'] } }] } },
  },
  { code: 'no-voucher', what: 'an empty extension', stapled: () => new Uint8Array() },
  {
    code: 'too-few-vouchers',
    what: 'one voucher where two are wanted',
    policy: { choice: { choose: 2, accept: 2, rules: [] } },
  },
  {
    code: 'certificate-status-unknown',
    what: 'a voucher without a status of the server certificate',
    stapled: (va, honest) => va.issue({ ...honest, status: [] }),
  },
  {
    code: 'certificate-revoked',
    what: 'a voucher with a status that says revoked',
    stapled: (va, honest) => {
      const ocsp = testOcsp({
        about: leaf,
        issuer: issuing,
        status: 'revoked',
        thisUpdate: hours(-1),
        nextUpdate: hours(20),
      });
      return va.issue({ ...honest, status: [{ certificate: 0, ocsp }] });
    },
  },
  {
    code: 'not-pinned-ca',
    what: 'a certificate of another CA on an intranet host',
    policy: { intranet: [{ suffix: 'shop.test', roots: [rootCa('Corporate Root').der] }] },
  },
];

let ports: number[];
const second = listedVa(1, { codepoint: 65_301 }, now);
beforeAll(async () => {
  ports = await freePorts(situations.length + 1);
  const sites = [...situations, {}].map((situation: Partial<Situation>, i): Site => {
    const { chain = [leaf, issuing] } = situation;
    const [own, ...above] = chain;
    return {
      port: ports[i]!,
      identities: [identity({ file }, `site-${i}`, own, ...above)],
      serverInfo: file(`site-${i}.serverinfo`, stapledBy(situation, ports[i]!)),
    };
  });
  await servers.startNginx(servers.nginx('codes', sites), ports);
});
afterAll(async () => {
  await servers.stop();
  rmSync(directory, { recursive: true });
});

const vas = new Map<number, ListedVa>();

/** The honest voucher is about the leaf and its intermediate, whatever the server sends. */
function stapledBy(
  { va = listedVa(0, {}, now), stapled, stapledAsSecond }: Partial<Situation>,
  port: number,
): string {
  vas.set(port, va);
  const honest = voucherFor({ chain: [leaf.der, issuing.der], address: serverAddress, port, at: now });
  const data = stapled ? stapled(va, honest) : va.issue(honest);
  return encodeServerInfo([
    { type: va.entry.codepoint, data },
    { type: second.entry.codepoint, data: stapledAsSecond?.(va, honest) ?? new Uint8Array() },
  ]);
}

const client = (port: number, { policy = {}, stapledAsSecond }: Partial<Situation> = {}) => {
  const two = stapledAsSecond !== undefined || (policy.choice?.accept ?? 1) > 1;
  const listed = two ? [vas.get(port)!, second] : [vas.get(port)!];
  return guardOf({
    list: listOf(listed, { issuedAt: hours(-1), expires: hours(100) }),
    policy: { ...defaultPolicy, ...policy },
  });
};

test('an honest voucher is accepted', async () => {
  const { outcome, codes } = await connect(client(ports.at(-1)!), { port: ports.at(-1)! });
  expect([codes, outcome.verdict]).toEqual([[], 'accept']);
});

test.each(situations.map((one, i) => [one.code, one.what, i] as const))('%s: %s', async (code, _, i) => {
  const port = ports[i]!;
  const guard = client(port, situations[i]);
  if (code === 'no-choice') {
    // Nothing to ask the server for: the library's own connection, which ends before a request.
    const connecting = guard.connect({
      host: serverAddress,
      port,
      servername: 'www.shop.test',
      ca: pem(root),
    });
    await expect(connecting).rejects.toMatchObject({ code: 'refused', failures: [{ code }] });
    return;
  }
  const { outcome, codes } = await connect(guard, { port });
  expect(codes).toContain(code);
  expect(outcome.verdict).toBe('reject');
});

test('the sloppy intermediate is sent as it is, and OpenSSL takes it', async () => {
  const port = ports[situations.findIndex(({ code }) => code === 'bad-chain')]!;
  const { outcome } = await connect(client(port), { port });
  expect(outcome.handshake.chain[1]).toEqual(new Uint8Array(sloppy.der));
  expect(() => parseCertificate(sloppy.der)).toThrow('BOOLEAN');
});

test('every code of the client has its situation', () => {
  const all: Record<ServerCode, true> = {
    malformed: true,
    'unsupported-version': true,
    'unknown-critical-extension': true,
    'bad-digest': true,
    'bad-signature': true,
    'untrusted-va': true,
    'not-a-voucher-certificate': true,
    'va-certificate-expired': true,
    'va-certificate-revoked': true,
    expired: true,
    'not-yet-valid': true,
    'bad-chain': true,
    'other-leaf': true,
    'other-intermediates': true,
    'other-address': true,
    'other-port': true,
    'same-ca': true,
    'trust-context-missing': true,
    'weak-quorum': true,
    'wrong-perspectives': true,
    'va-not-chosen': true,
    'va-distrusted': true,
    'va-status-unknown': true,
    'no-choice': true,
    'no-voucher': true,
    'too-few-vouchers': true,
    'certificate-revoked': true,
    'certificate-status-unknown': true,
    'not-pinned-ca': true,
  };
  const shown = new Set(situations.map(({ code }) => code));
  expect([...shown].toSorted()).toEqual(Object.keys(all).toSorted());
});
