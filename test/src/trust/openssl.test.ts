/** Revocation as a CA of `openssl ca` and `openssl ocsp` publishes it. */
import { createPrivateKey, createPublicKey } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { type IncomingMessage, type ServerResponse, createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { toPem } from '@mecai/pki';
import { type LeafSources, OpenSslCa } from '@mecai/pki/testing';
import { Asker, until } from './asker.ts';

const refreshMs = 300;
let crl: Uint8Array;
let ca: OpenSslCa;
let asker: Asker;
const server = createServer((request, response) => void answer(request, response));

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  if (request.method === 'GET') {
    response.end(crl);
    return;
  }
  const parts: Buffer[] = [];
  for await (const part of request) parts.push(part);
  response.end(await ca.respond(Buffer.concat(parts)));
}

beforeAll(async () => {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  ca = new OpenSslCa(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  crl = ca.crl();
  const revocation = { maxAgeMs: refreshMs, refreshEveryMs: 100, retryAfterMs: 100 };
  asker = await Asker.start({ coordinator: { revocation } }, (directory) => {
    mkdirSync(join(directory, 'trust/OPENSSL'), { recursive: true });
    writeFileSync(join(directory, 'trust/OPENSSL/root.pem'), toPem(ca.certificate.der, 'CERTIFICATE'));
  });
});
afterAll(async () => {
  await asker.close();
  ca[Symbol.dispose]();
  server.closeAllConnections();
  server.close();
});

async function about(name: string, sources: LeafSources) {
  const { der } = ca.issue(name, sources);
  const privateKey = createPrivateKey(ca.privateKey(name));
  const leaf = { der, subject: name, privateKey, publicKey: createPublicKey(privateKey) };
  return asker.about([leaf], 'www.example.com');
}

it('a leaf revoked with openssl ca is refused with its next CRL', async () => {
  const ask = await about('crl-revoked', 'both');
  const { status, trustContexts } = asker.content(await ask());
  expect(trustContexts).toEqual(['OPENSSL']);
  expect(status).toMatchObject([{ certificate: 0, crl: { number: 1n } }]);
  ca.revoke('crl-revoked');
  crl = ca.crl();
  const { result, milliseconds } = await until(ask, (one) => one.status === 'refused', 5_000);
  expect(result).toMatchObject({ reason: 'revoked' });
  expect(result.detail).toContain('CN=crl-revoked');
  console.log(`openssl ca: refused after ${milliseconds.toFixed(0)} ms (refresh every ${refreshMs} ms)`);
});

it('a leaf revoked at openssl ocsp is refused, and the voucher before had the response', async () => {
  const ask = await about('ocsp-revoked', 'ocsp');
  const [status] = asker.content(await ask()).status;
  expect(status && 'ocsp' in status && status.ocsp.length).toBeGreaterThan(200);
  ca.revoke('ocsp-revoked');
  const { result, milliseconds } = await until(ask, (one) => one.status === 'refused', 5_000);
  expect(result).toMatchObject({ reason: 'revoked' });
  expect(result.detail).toContain('CN=ocsp-revoked');
  console.log(`openssl ocsp: refused after ${milliseconds.toFixed(0)} ms (refresh every ${refreshMs} ms)`);
});
