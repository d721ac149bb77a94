import { generateKeyPairSync } from 'node:crypto';
import { type HandshakeScts, parseCertificate } from '@mecai/pki';
import { authority, embeddedSctLeaf, log, sctList } from '@mecai/pki/testing';
import { expect, it } from 'vitest';
import { certificateLogConfig, ctLogsOf, holdPolicyOf } from './config.ts';
import { verifiedScts } from './scts.ts';

const issuer = authority('CA');
const at = new Date('2026-11-01T00:00:00Z');
const { leaf } = embeddedSctLeaf(issuer, at);
const key = log.key.export({ format: 'der', type: 'spki' }).toString('base64');
const scts = { logs: [{ operator: 'Example Logs', key }] };
const config = certificateLogConfig.parse({ waivers: { scts } });
const logs = ctLogsOf(config);
const now = at.getTime() + 1;
const none = () => ({});

it('counts an SCT of a log that is configured, and two operators are needed', () => {
  expect(verifiedScts(logs, leaf.certificate, issuer.certificate, none, now)).toEqual([
    { who: 'Example Logs', at: at.getTime() },
  ]);
  expect(holdPolicyOf(config).waivers.scts).toBe(2);
});

it('counts none of another log, of another issuer, without an issuer, or of the future', () => {
  const other = generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey;
  const elsewhere = {
    operator: 'Other',
    key: other.export({ format: 'der', type: 'spki' }).toString('base64'),
  };
  const others = ctLogsOf(certificateLogConfig.parse({ waivers: { scts: { logs: [elsewhere] } } }));
  const stranger = authority('CA of the same name');
  expect(verifiedScts(others, leaf.certificate, issuer.certificate, none, now)).toEqual([]);
  expect(verifiedScts(logs, leaf.certificate, stranger.certificate, none, now)).toEqual([]);
  expect(verifiedScts(logs, leaf.certificate, undefined, none, now)).toEqual([]);
  expect(verifiedScts(logs, leaf.certificate, issuer.certificate, none, at.getTime() - 1)).toEqual([]);
});

it('counts none in a certificate without any', () => {
  expect(verifiedScts(logs, parseCertificate(issuer.der), issuer.certificate, none, now)).toEqual([]);
});

it('counts those of the TLS extension and of the stapled OCSP response, over the certificate itself', () => {
  const { bare } = embeddedSctLeaf(issuer, at);
  const good = sctList(bare.der, at);
  const counted = (sent: HandshakeScts) =>
    verifiedScts(logs, bare.certificate, issuer.certificate, () => sent, now);
  const once = [{ who: 'Example Logs', at: at.getTime() }];
  expect(counted({ tls: [good] })).toEqual(once);
  expect(counted({ ocsp: [good] })).toEqual(once);
  expect(counted({ tls: [Uint8Array.of(0, 1)], ocsp: [good] })).toEqual(once);
  expect(counted({ tls: [sctList(leaf.der, at)], ocsp: [good.slice(0, -1)] })).toEqual([]);
  expect(counted({ tls: [sctList(bare.der, new Date(now + 1))] })).toEqual([]);
});
