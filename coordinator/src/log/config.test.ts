import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { testCertificate } from '@mecai/voucher/testing';
import { expect, it } from 'vitest';
import { pemOf, webIntermediate } from '../testing/chains.ts';
import { webServer } from '../testing/certificate-log.ts';
import { factsOf, hex } from './certificate-facts.ts';
import {
  type CertificateLogConfig,
  authoritiesOf,
  caContactsOf,
  certificateLogConfig,
  ctLogsOf,
  holdPolicyOf,
} from './config.ts';
import { type HoldFacts, holdLength } from './hold.ts';

const parse = (config: object): CertificateLogConfig => certificateLogConfig.parse(config);
const hour = 3_600_000;
const leaf = factsOf(webServer(['www.example.org']).der);
const facts: HoldFacts = {
  firstRequest: 0,
  notBefore: 0,
  notAfter: 90 * 24 * hour,
  ca: leaf.ca,
  organizations: leaf.organizations,
  names: leaf.names,
  trustContexts: ['MOZ'],
  authenticated: true,
  sameKey: [],
  declaredBy: [],
  scts: [],
  expedited: [],
};
const length = (hold: object) => holdLength(holdPolicyOf(parse({ hold })), facts);

it('holds for three days or a tenth of the lifetime, and waives nothing, without a word', () => {
  expect(holdPolicyOf(parse({}))).toEqual({
    maxMs: 72 * hour,
    lifetimeShare: 0.1,
    rules: [],
    waivers: { scts: undefined, successors: false, expedite: undefined, approvals: false },
  });
});

it('holds as long as it is told, for whom it is told', () => {
  expect(length({ maxMs: hour })).toBe(hour);
  expect(length({ lifetimeShare: 0.001 })).toBe(Math.ceil(90 * 24 * hour * 0.001));
  const rule = { maxMs: 5, lifetimeShare: 1 };
  // The issuer has no organization: its commonName, whatever the case.
  expect(length({ rules: [{ ...rule, ca: ' WEB Intermediate' }] })).toBe(5);
  expect(length({ rules: [{ ...rule, ca: 'Another' }] })).toBe(72 * hour);
  expect(length({ rules: [{ ...rule, trustContext: 'MOZ' }] })).toBe(5);
  expect(length({ rules: [{ ...rule, requester: 'unauthenticated' }] })).toBe(72 * hour);
});

it('turns waivers on one by one', () => {
  const of = (waivers: object) => holdPolicyOf(parse({ waivers })).waivers;
  expect(of({ successors: true })).toMatchObject({ successors: true, approvals: false });
  expect(of({ approvals: true })).toMatchObject({ successors: false, approvals: true });
  expect(of({ expedite: { authorities: 3, from: [] } })).toMatchObject({ expedite: 3, scts: undefined });
  expect(of({ scts: { operators: 4, logs: [] } })).toMatchObject({ scts: 4, expedite: undefined });
  // One is no second opinion.
  expect(() => of({ expedite: { authorities: 1, from: [] } })).toThrow('authorities');
  expect(() => of({ scts: { operators: 1, logs: [] } })).toThrow('operators');
});

it('reads the certificates of other VAs, and refuses what is none', () => {
  const directory = mkdtempSync(join(tmpdir(), 'mecai-log-config-'));
  const file = (name: string, text: string) => {
    writeFileSync(join(directory, name), text);
    return join(directory, name);
  };
  const other = testCertificate({ subject: 'Other VA' });
  const of = (certificate: string) =>
    authoritiesOf(parse({ waivers: { expedite: { from: [{ authority: 'Other VA', certificate }] } } }));
  try {
    expect(of(file('one.pem', pemOf(other)))).toMatchObject([{ name: 'Other VA' }]);
    for (const wrong of [file('two.pem', pemOf(other, webIntermediate)), file('none.pem', ''), 'nowhere']) {
      expect(() => of(wrong)).toThrow(expect.objectContaining({ code: 'bad-configuration' }));
    }
  } finally {
    rmSync(directory, { recursive: true });
  }
});

it('refuses a CT log whose key is none', () => {
  const config = parse({ waivers: { scts: { logs: [{ operator: 'x', key: 'AAAA' }] } } });
  expect(() => ctLogsOf(config)).toThrow(expect.objectContaining({ code: 'bad-configuration' }));
});

it('knows whom to tell at a CA, by its organization', () => {
  const contacts = caContactsOf(parse({ caContacts: [{ ca: 'Example  CA', mail: ['problem@ca.test'] }] }));
  expect([...contacts.values()]).toEqual([['problem@ca.test']]);
  expect(contacts.has(hex(leaf.ca))).toBe(false);
});
