import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { afterAll, expect, it } from 'vitest';
import { CertificateCache } from './certificate-cache.ts';
import { certificateFacts } from './certificate-facts.ts';

const directory = mkdtempSync(join(tmpdir(), 'mecai-facts-'));
afterAll(() => rmSync(directory, { recursive: true }));

const openssl = (...options: string[]) =>
  execFileSync('openssl', options, { stdio: ['ignore', 'pipe', 'ignore'] });
function make(subject: string, names: string, ...key: string[]): Buffer {
  const out = join(directory, 'certificate.der');
  const keyFile = join(directory, 'key.pem');
  openssl(
    'req',
    '-x509',
    '-nodes',
    ...key,
    '-subj',
    subject,
    '-addext',
    `subjectAltName=${names}`,
    '-days',
    '10',
    '-outform',
    'DER',
    '-keyout',
    keyFile,
    '-out',
    out,
  );
  return readFileSync(out);
}
const ec = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256'];

it('reads names, key and validity as openssl does', () => {
  const der = make('/CN=a.example', 'DNS:a.example,DNS:*.b.example,IP:192.0.2.1,email:x@c.example', ...ec);
  const facts = certificateFacts(der, 'f');
  const file = join(directory, 'certificate.der');
  const spki = openssl(
    'pkey',
    '-pubin',
    '-outform',
    'DER',
    '-in',
    ...(() => {
      const pem = join(directory, 'public.pem');
      openssl('x509', '-inform', 'DER', '-in', file, '-noout', '-pubkey', '-out', pem);
      return [pem];
    })(),
  );
  expect(facts).toMatchObject({
    subject: 'CN=a.example',
    issuer: 'CN=a.example',
    dns_names: ['a.example', '*.b.example'],
    key: 'ec-prime256v1',
    spki: createHash('sha256').update(spki).digest('hex'),
    fault: '',
    der_base64: der.toString('base64'),
  });
  const serial = openssl('x509', '-inform', 'DER', '-in', file, '-noout', '-serial').toString().trim();
  expect(`serial=${facts.serial.toUpperCase()}`).toBe(serial);
  expect(facts.not_after! - facts.not_before!).toBe(10 * 86_400);
  expect(certificateFacts(make('/CN=r', 'DNS:r.example', '-newkey', 'rsa:2048'), 'f').key).toBe('rsa-2048');
});

it('takes a name with a comma for one name', () => {
  const der = make('/CN=x', 'DNS:a.example', ...ec);
  const at = der.indexOf('a.example');
  der.write('a, DNS:xy', at, 'latin1');
  expect(certificateFacts(der, 'f').dns_names).toEqual(['a, DNS:xy']);
});

it('keeps what it cannot read, with the fault, and never throws', () => {
  const der = make('/CN=x', 'DNS:a.example', ...ec);
  expect(certificateFacts(Buffer.concat([der, Buffer.of(0)]), 'f')).toMatchObject({
    fault: 'trailing octets',
  });
  fc.assert(
    fc.property(fc.nat(der.length - 1), fc.nat(255), fc.boolean(), (at, octet, short) => {
      const changed = Buffer.from(short ? der.subarray(0, at) : der);
      if (!short) changed[at] = octet;
      const facts = certificateFacts(changed, 'f');
      expect(facts.der_base64).toBe(changed.toString('base64'));
      if (facts.fault === '') expect(facts.spki).toMatch(/^[0-9a-f]{64}$/);
      for (const text of [facts.subject, facts.issuer, ...facts.dns_names])
        expect(text.isWellFormed()).toBe(true);
    }),
    { numRuns: 500 },
  );
});

it('remembers the facts of the certificates met last', () => {
  const cache = new CertificateCache(2);
  const [a, b, c] = ['a', 'b', 'c'].map((text) => Buffer.from(text));
  const first = cache.facts(a!);
  cache.facts(b!);
  expect(cache.facts(a!)).toBe(first);
  cache.facts(c!);
  expect(cache.facts(a!)).toBe(first);
  expect(cache.facts(b!)).not.toBe(first);
});
