/** SCTs that the server sends in its handshakes, beside those in the certificate, count for Chrome's constraints. */
import { type LogKey, createTrustStore, parseCertificate } from '@mecai/pki';
import { keyOf, log, sctList } from '@mecai/pki/testing';
import type { Observation } from '@mecai/proto';
import { parseSignedVoucher } from '@mecai/voucher';
import { testOcsp } from '@mecai/voucher/testing';
import { expect, it } from 'vitest';
import { ChainPolicy } from './chain-policy.ts';
import { DistrustList } from './distrust-list.ts';
import { RefusedError, refusalName } from './refusal.ts';
import {
  coordinator,
  createWorld,
  leaf,
  observe,
  otherLeaf,
  start,
  subjectOf,
  va,
  webIntermediate,
  webRoot,
} from './testing/world.ts';

const days = (n: number) => new Date(start.getTime() + n * 86_400_000);
const until = days(-5);
const early = sctList(leaf.der, days(-6));
const late = sctList(leaf.der, days(-4));
const certificate = parseCertificate(webRoot.der);
const constrained = { certificate, constraints: [{ sctUntil: until }] };

function policyOf(logKeys: readonly LogKey[] | undefined, withMozilla: boolean) {
  const contexts = [
    { id: 'CHROME', anchors: [constrained] },
    ...(withMozilla ? [{ id: 'MOZ', anchors: [{ certificate }] }] : []),
  ];
  const trust = createTrustStore(contexts, { ...(logKeys && { logKeys }) });
  return new ChainPolicy(trust, [parseCertificate(va.root.der)], new DistrustList());
}

/** Trust contexts of the voucher, or why there is none. */
async function asked(
  sent: Partial<Observation>,
  { logKeys, withMozilla = true }: { logKeys?: readonly LogKey[]; withMozilla?: boolean } = {
    logKeys: [log],
  },
  mismatching: Partial<Observation> = {},
) {
  const world = createWorld({ chainPolicy: policyOf(logKeys, withMozilla) });
  try {
    const drawn = world.issuance.draw(subjectOf(), coordinator);
    const [first, ...others] = drawn.agents;
    const other = { chain: [otherLeaf.der], ...mismatching };
    const evidence = [observe(first!, drawn, other), ...others.map((agent) => observe(agent, drawn, sent))];
    const { voucher } = await world.issuance.issue(drawn.nonce, evidence, coordinator);
    return parseSignedVoucher(voucher).voucher.trustContexts;
  } catch (error) {
    if (!(error instanceof RefusedError)) throw error;
    return `${refusalName(error.refused.code)}: ${error.refused.detail}`;
  }
}
const stapled = (scts: Uint8Array) => ({
  ocsp: [
    {
      certificate: 0,
      response: testOcsp({
        about: leaf,
        issuer: webIntermediate,
        thisUpdate: days(-1),
        nextUpdate: days(1),
        scts,
      }),
    },
  ],
});

it.each([
  ['in the TLS extension', { sctLists: [early] }],
  ['beside a later one', { sctLists: [late, early] }],
  ['in the stapled OCSP response', stapled(early)],
])('an SCT from before the date, %s: the context is kept', async (_, sent) => {
  expect(await asked(sent)).toEqual(['CHROME', 'MOZ']);
});

it.each<[string, Partial<Observation>]>([
  ['none', {}],
  ['one from after the date', { sctLists: [late] }],
  ['one from after the date, stapled', stapled(late)],
  ['one for another certificate', { sctLists: [sctList(otherLeaf.der, days(-6))] }],
  [
    'one of a log that is not known',
    { sctLists: [sctList(leaf.der, days(-6), undefined, keyOf('stranger'))] },
  ],
  [
    'what is no list',
    { sctLists: [Uint8Array.of(1)], ocsp: [{ certificate: 0, response: Uint8Array.of(1) }] },
  ],
])('with %s it is lost', async (_, sent) => {
  expect(await asked(sent)).toEqual(['MOZ']);
  expect(await asked(sent, { logKeys: [log], withMozilla: false })).toMatch(
    /^untrusted: .*no SCT from before/,
  );
});

it('without log keys only what the CA signed counts', async () => {
  expect(await asked({ sctLists: [early] }, {})).toEqual(['MOZ']);
});

it('what another chain was sent with does not count', async () => {
  expect(await asked({}, { logKeys: [log] }, { sctLists: [early] })).toEqual(['MOZ']);
});
