import { expect, test } from 'vitest';
import { type CertificateStatus, PkiError } from '@mecai/pki';
import { testCertificate } from '@mecai/voucher/testing';
import { Revocation } from './revocation.ts';
import { keptLog } from './testing/log.ts';

const issuer = testCertificate({ subject: 'CA' });
const leaf = testCertificate({ subject: 'leaf', issuer });
const draw = { nonce: new Uint8Array(32), links: [{ certificate: leaf.der, issuer: issuer.der }] };

function looking(lookAgainMs: number, problems: CertificateStatus['problems'] = []) {
  const looked: number[] = [];
  const revocation = new Revocation({
    source: {
      check: ({ path: [certificate] }) => {
        looked.push(performance.now());
        return Promise.resolve([
          {
            certificate: certificate!,
            status: 'good',
            revokedAt: undefined,
            reason: undefined,
            problems,
            evidence: [],
          },
        ]);
      },
      refreshDue: () => Promise.resolve(),
    },
    signer: { supply: () => Promise.reject(new Error('nothing to supply')) },
    deadlineMs: 5_000,
    lookAgainMs,
    log: keptLog().log,
  });
  return { revocation, looked };
}

test('what was just found out is not looked up again', async () => {
  const { revocation, looked } = looking(60_000);
  await revocation.bring(draw);
  await revocation.bring(draw);
  expect(looked).toHaveLength(1);
});

test('after its time it is', async () => {
  const { revocation, looked } = looking(0);
  await revocation.bring(draw);
  await revocation.bring(draw);
  expect(looked).toHaveLength(2);
});

test('a signer that may be another is told anew', async () => {
  const { revocation, looked } = looking(60_000);
  await revocation.bring(draw);
  revocation.forget();
  await revocation.bring(draw);
  expect(looked).toHaveLength(2);
});

test('a source that failed is asked again by the next question', async () => {
  const failed = {
    source: 'crl',
    url: 'http://crl.test/',
    error: new PkiError('unreachable', 'away'),
  } as const;
  const { revocation, looked } = looking(60_000, [failed]);
  await revocation.bring(draw);
  await revocation.bring(draw);
  expect(looked).toHaveLength(2);
});
