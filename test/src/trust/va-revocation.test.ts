/** The VA's own certificate is revoked by its CA while the network runs. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pemCertificates } from '@mecai/pki';
import { parseSignedVoucher, verifyVoucher } from '@mecai/voucher';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { serverCertificate } from '../network/index.ts';
import { Asker, serverName, until } from './asker.ts';

const refreshMs = 300;
const revocation = { maxAgeMs: refreshMs, refreshEveryMs: refreshMs, retryAfterMs: 100 };
let asker: Asker;
beforeAll(async () => {
  asker = await Asker.start({ coordinator: { revocation } });
});
afterAll(() => asker.close());

it('vouchers say that it is not revoked, until it is, and then there are none', async () => {
  const { pki, crls, directory, signer } = asker.network;
  const leaf = serverCertificate(pki.webIntermediate, { dns: [serverName] });
  const ask = await asker.about([leaf, pki.webIntermediate]);
  // As soon as there are any.
  const { result } = await until(ask, ({ voucher }) => voucher !== undefined);
  expect(parseSignedVoucher(result.voucher!).revocation).toHaveLength(1);
  const { vaStatus } = verifyVoucher(result.voucher!, { now: new Date(), roots: [pki.vaRoot.der] });
  expect(vaStatus).toMatchObject({ status: 'good', certificates: [{ evidence: [{ crl: { number: 1n } }] }] });

  const [certificate] = pemCertificates(readFileSync(join(directory, 'va-chain.pem'), 'utf8'));
  const crl = crls.publish(pki.vaRoot, { revoked: [{ certificate: certificate!, reason: 1 }] });
  const { result: refused, milliseconds } = await until(ask, ({ status }) => status !== 'issued');
  console.log(
    `revoked VA: no more vouchers after ${milliseconds.toFixed(0)} ms (refresh every ${refreshMs} ms)`,
  );
  expect(refused).toMatchObject({ status: 'inconclusive' });
  expect(refused.detail).toMatch(
    /the VA's own certificate: CN=Second Opinion VA .* was revoked .*keyCompromise/,
  );
  expect((await fetch(`${signer.ready['admin']}/readyz`)).status).toBe(503);

  // Whoever knows refuses those that were issued before.
  const known = { roots: [pki.vaRoot.der], revocation: [{ kind: 'crl' as const, der: crl }] };
  expect(() => verifyVoucher(result.voucher!, { now: new Date(), ...known })).toThrow(/was revoked/);
});
