import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ClientError } from '../error.ts';
import { webRoot } from '../testing/world.ts';
import { defaultPolicy, intranetFor, modeFor, parsePolicy } from './policy.ts';

const policy = (json: object) => parsePolicy(Buffer.from(JSON.stringify(json)));
const root = Buffer.from(webRoot.der).toString('base64');
function code(action: () => unknown): string {
  try {
    action();
    return 'none';
  } catch (error) {
    if (!(error instanceof ClientError)) throw error;
    return error.code;
  }
}

test('an empty policy is the default one: it enforces', () => {
  expect(policy({})).toEqual(defaultPolicy);
  expect(modeFor(policy({}), 'www.example.org')).toBe('enforce');
});

test('every member is read', () => {
  const json = {
    mode: 'warn',
    hosts: { 'www.example.org': 'off' },
    intranet: [{ suffix: 'corp.example', roots: [root] }],
    choice: { choose: 5, accept: 2 },
    trustContext: 'MOZ',
    quorum: { matches: 4, regions: 2, networks: 3 },
    maxAgeSeconds: 3_600,
    vaStatus: 'if-known',
    serverStatus: 'if-known',
    routes: ['direct'],
  };
  expect(policy(json)).toEqual({
    ...json,
    hosts: new Map([['www.example.org', 'off']]),
    intranet: [{ suffix: 'corp.example', roots: [Buffer.from(webRoot.der)] }],
    choice: { choose: 5, accept: 2, rules: [] },
  });
});

describe('the mode of a host', () => {
  const one = policy({
    mode: 'report-only',
    hosts: { 'www.example.org': 'off', '.example.org': 'warn', '.deep.example.org': 'enforce' },
  });
  test.each([
    ['www.example.org', 'off'],
    ['WWW.Example.Org.', 'off'],
    ['example.org', 'warn'],
    ['a.b.example.org', 'warn'],
    ['x.deep.example.org', 'enforce'],
    ['badexample.org', 'report-only'],
    ['org', 'report-only'],
    ['192.0.2.1', 'report-only'],
  ])('%s: %s', (host, mode) => expect(modeFor(one, host)).toBe(mode));
});

test('an intranet is its suffix and all below, the longest suffix first', () => {
  const one = policy({
    intranet: [
      { suffix: 'corp.example', roots: [root] },
      { suffix: 'lab.corp.example', roots: [root] },
    ],
  });
  const suffix = (host: string) => intranetFor(one, host)?.suffix;
  expect(suffix('corp.example')).toBe('corp.example');
  expect(suffix('Wiki.Corp.Example.')).toBe('corp.example');
  expect(suffix('a.lab.corp.example')).toBe('lab.corp.example');
  expect(suffix('notcorp.example')).toBeUndefined();
  expect(suffix('corp.example.evil.test')).toBeUndefined();
});

test.each<[string, object]>([
  ['an unknown member', { modus: 'off' }],
  ['an unknown mode', { mode: 'strict' }],
  ['a host in capitals', { hosts: { 'WWW.example.org': 'off' } }],
  ['a wildcard', { hosts: { '*.example.org': 'off' } }],
  ['a mode of a host that is none', { hosts: { 'example.org': 'maybe' } }],
  ['a suffix with a dot', { intranet: [{ suffix: '.corp', roots: [root] }] }],
  ['an intranet without roots', { intranet: [{ suffix: 'corp', roots: [] }] }],
  ['a root that is none', { intranet: [{ suffix: 'corp', roots: ['AAAA'] }] }],
  ['rules that are none', { choice: { choose: 0 } }],
  ['a trust context in small letters', { trustContext: 'moz' }],
  ['a quorum of regions that there are not', { quorum: { regions: 6 } }],
  ['an age of no time', { maxAgeSeconds: 0 }],
  ['a route twice', { routes: ['ocsp', 'ocsp'] }],
  ['a route that is none', { routes: ['pigeon'] }],
])('%s is refused', (_, json) => {
  expect(code(() => policy(json))).toBe('rules-malformed');
});

test('any JSON, any octets', () => {
  fc.assert(
    fc.property(fc.json({ maxDepth: 5 }), fc.uint8Array(), fc.string(), (json, bytes, host) => {
      expect(code(() => parsePolicy(Buffer.from(json)))).toMatch(/^(none|rules-malformed)$/);
      // `{}` is all defaults.
      expect(code(() => parsePolicy(bytes))).toMatch(/^(none|rules-malformed)$/);
      expect(modeFor(defaultPolicy, host)).toBe('enforce');
      expect(intranetFor(defaultPolicy, host)).toBeUndefined();
    }),
    { numRuns: 1_000 },
  );
});
