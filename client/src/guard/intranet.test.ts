import { constructed, der, implicit } from '@mecai/pki';
import { testCertificate, testCrl, testExtension } from '@mecai/voucher/testing';
import { createServer } from 'node:http';
import { describe, expect, test } from 'vitest';
import { portOf } from '../test-va-server.ts';
import { chainOf, serverCertificate, webIntermediate, webRoot } from '../testing/world.ts';
import { closing, failures, guardOf, one, serve } from './guard-bed.ts';
import { intranetRevocation } from './intranet.ts';

describe('an intranet', () => {
  const intranet = [{ suffix: 'corp.example', roots: [webRoot.der] }];
  const leaf = serverCertificate({ dnsNames: ['wiki.corp.example'], serial: 20 });
  const at = (port: number) => ({ host: '127.0.0.1', port, servername: 'wiki.corp.example' });

  test('needs no voucher, but its CA and a status that is known', async () => {
    const server = await serve({ certificates: [{ leaf, slot: [] }] });
    const { guard, outcomes } = guardOf({ intranet });
    (await guard.connect(at(server.port))).socket.destroy();
    expect(outcomes[0]).toMatchObject({ intranet: 'corp.example', verdict: 'accept' });
    server.show({ certificates: [{ leaf }] });
    expect(await failures(guardOf({ intranet, mode: 'warn' }).guard.connect(at(server.port)))).toEqual([
      'certificate-status-unknown',
    ]);
  });

  test('is pinned: a certificate of another CA is not even connected to, nor passes the check of other stacks', async () => {
    const server = await serve({ certificates: [{ leaf, slot: [] }] });
    const others = [{ suffix: 'corp.example', roots: [one!.root.der] }];
    expect(await failures(guardOf({ intranet: others }).guard.connect(at(server.port)))).toEqual([
      'ClientError unreachable',
    ]);
    const handshake = { chain: chainOf(leaf, webIntermediate), address: '127.0.0.1', port: 443 };
    const outcome = await guardOf({ intranet: others }).guard.check('wiki.corp.example', handshake, []);
    expect(outcome).toMatchObject({ verdict: 'reject', check: { failures: [{ code: 'not-pinned-ca' }] } });
    const unreadable = { ...handshake, chain: [Uint8Array.of(1)] };
    expect((await guardOf({ intranet }).guard.check('wiki.corp.example', unreadable, [])).verdict).toBe(
      'reject',
    );
  });

  test('asks its CA where nothing is stapled: over HTTP, for what the certificate names', async () => {
    let crl: Uint8Array | undefined;
    const ca = createServer((_, response) => void response.writeHead(crl ? 200 : 503).end(crl));
    closing.push(() => ca.close());
    await new Promise<void>((resolve) => ca.listen(0, '127.0.0.1', resolve));
    const uri = der.tlv(implicit(6), Buffer.from(`http://localhost:${portOf(ca)}/crl`));
    const point = der.sequence(der.tlv(constructed(0), der.tlv(constructed(0), uri)));
    const withCrl = serverCertificate({
      dnsNames: ['wiki.corp.example'],
      serial: 21,
      extensions: [testExtension('2.5.29.31', false, der.sequence(point))],
    });
    const server = await serve({ certificates: [{ leaf: withCrl }] });
    const asking = () => {
      const intranetSource = intranetRevocation(() => new Date());
      return failures(guardOf({ intranet }, { intranetSource }).guard.connect(at(server.port)));
    };
    expect(await asking()).toEqual(['certificate-status-unknown']);
    const hours = (n: number) => new Date(Date.now() + n * 3_600_000);
    const times = { thisUpdate: hours(-1), nextUpdate: hours(1) };
    crl = testCrl(webIntermediate, { number: 1, ...times });
    expect(await asking()).toEqual([]);
    crl = testCrl(webIntermediate, { number: 2, revoked: [{ certificate: withCrl }], ...times });
    expect(await asking()).toEqual(['certificate-revoked']);
  });
});

test('whoever tells Node to accept anything gets no pinned path out of it', async () => {
  // Says that the pinned root issued it, and sends that root along; the signature is its own.
  const forged = testCertificate({
    subject: 'forged',
    issuer: { ...testCertificate({ subject: 'x' }), subject: webRoot.subject },
    dnsNames: ['wiki.corp.example'],
  });
  const server = await serve({ certificates: [{ leaf: forged }], above: [webRoot] });
  const { guard } = guardOf({ intranet: [{ suffix: 'corp.example', roots: [webRoot.der] }] });
  const at = {
    host: '127.0.0.1',
    port: server.port,
    servername: 'wiki.corp.example',
    rejectUnauthorized: false,
  };
  expect(await failures(guard.connect(at))).toEqual(['ClientError unreachable']);
});
