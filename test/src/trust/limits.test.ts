/** Evidence that one part takes and the other does not. */
import { afterEach, expect, it } from 'vitest';
import { serverCertificate } from '../network/index.ts';
import { Asker, serverName, until } from './asker.ts';

let asker: Asker;
afterEach(() => asker.close());

async function about(options: Parameters<typeof Asker.start>[0]) {
  asker = await Asker.start(options);
  const { webIntermediate } = asker.network.pki;
  return asker.about([serverCertificate(webIntermediate, { dns: [serverName] }), webIntermediate]);
}
const revocation = { maxAgeMs: 200, refreshEveryMs: 100, retryAfterMs: 100 };

it('a CRL larger than the signer takes: refused and logged, and nobody falls over', {
  timeout: 90_000,
}, async () => {
  const ask = await about({
    signer: { draws: { perEndpoint: 100_000 }, revocation: { crlOctets: 1_000_000 } },
    coordinator: { revocation },
  });
  const { crls, pki, signer, coordinator } = asker.network;
  crls.publish(pki.webIntermediate, { padding: 150_000 });
  expect((await ask()).detail).toContain('revocation status unknown');
  expect(signer.log()).toContain('revocation evidence refused');
  expect(coordinator.log()).toContain('the signer refuses revocation evidence');
  crls.publish(pki.webIntermediate);
  await until(ask, ({ status }) => status === 'issued', 5_000);
});

it('a CRL larger than the coordinator fetches: no voucher, or one without status by the policy', {
  timeout: 90_000,
}, async () => {
  const ask = await about({
    signer: { draws: { perEndpoint: 100_000 }, revocation: { policy: 'allow-unknown' } },
    coordinator: { revocation: { ...revocation, crlOctets: 1_024 } },
  });
  const { crls, pki, coordinator } = asker.network;
  crls.publish(pki.webIntermediate, { padding: 150_000 });
  expect(asker.content(await ask()).status).toMatchObject([{ certificate: 1, crl: { number: 1n } }]);
  expect(coordinator.log()).toContain('longer than 1024 octets');
});
