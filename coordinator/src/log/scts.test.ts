import { generateKeyPairSync } from 'node:crypto';
import { parseCertificate } from '@mecai/pki';
import { authority, embeddedSctLeaf, log } from '@mecai/pki/testing';
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

it('counts an SCT of a log that is configured, and two operators are needed', () => {
  expect(verifiedScts(logs, leaf.certificate, issuer.certificate, now)).toEqual([
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
  expect(verifiedScts(others, leaf.certificate, issuer.certificate, now)).toEqual([]);
  expect(verifiedScts(logs, leaf.certificate, stranger.certificate, now)).toEqual([]);
  expect(verifiedScts(logs, leaf.certificate, undefined, now)).toEqual([]);
  expect(verifiedScts(logs, leaf.certificate, issuer.certificate, at.getTime() - 1)).toEqual([]);
});

it('counts none in a certificate without any', () => {
  expect(verifiedScts(logs, parseCertificate(issuer.der), issuer.certificate, now)).toEqual([]);
});
