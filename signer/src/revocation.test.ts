/** The signer's own judgement of revocation evidence, whoever hands it in. */
import { RefusalCode } from '@mecai/proto/signer';
import { parseSignedVoucher } from '@mecai/voucher';
import { testCrl } from '@mecai/voucher/testing';
import { expect, it } from 'vitest';
import { RefusedError, refusalName } from './refusal.ts';
import { RevocationEvidence } from './revocation-evidence.ts';
import {
  type World,
  coordinator,
  createWorld,
  leaf,
  observe,
  start,
  subjectOf,
  untrustedRoot,
  webIntermediate,
  webRoot,
} from './testing/world.ts';

const day = 86_400_000;
const since = new Date(start.getTime() - 3_600_000);
const leafCrl = (number: number, changes: object = {}) =>
  testCrl(webIntermediate, { number, thisUpdate: since, ...changes });
const rootCrl = testCrl(webRoot, { number: 1, thisUpdate: since });
const revokedCrl = leafCrl(5, { revoked: [{ certificate: leaf, reason: 1 }] });

async function attempt<T>(action: () => T | Promise<T>): Promise<T | string> {
  try {
    return await action();
  } catch (error) {
    if (!(error instanceof RefusedError)) throw error;
    return `${refusalName(error.refused.code)}: ${error.refused.detail}`;
  }
}
/** Hands in CRLs for leaf and intermediate in the name of an open draw, and asks for the voucher. */
async function asked(world: World, crls: readonly [link: number, crl: Uint8Array][] = []) {
  const drawn = await attempt(() => world.issuance.draw(subjectOf(), coordinator));
  if (typeof drawn === 'string') return { outcome: drawn };
  const supplied: unknown[] = [];
  for (const [link, crl] of crls) {
    supplied.push(await attempt(() => world.issuance.supply(drawn.nonce, link, coordinator)('crl', crl)));
  }
  const time = { observedAt: world.time };
  const evidence = drawn.agents.slice(0, 4).map((agent) => observe(agent, drawn, time));
  const issued = await attempt(() => world.issuance.issue(drawn.nonce, evidence, coordinator));
  if (typeof issued === 'string') return { outcome: issued, supplied };
  return { outcome: 'issued', supplied, status: parseSignedVoucher(issued.voucher).voucher.status };
}
const both: readonly [number, Uint8Array][] = [
  [0, leafCrl(4)],
  [1, rootCrl],
];
const requiring = () => createWorld({ revocation: 'require' });

it('policy require: no voucher until every certificate of the path has current evidence', async () => {
  const world = requiring();
  expect((await asked(world)).outcome).toMatch(/^revocation-unknown: CN=www\.example\.test .* unknown/);
  expect((await asked(world, [[0, leafCrl(4)]])).outcome).toMatch(/^revocation-unknown: CN=Web Issuing CA/);
  const { outcome, status } = await asked(world, [[1, rootCrl]]);
  expect(outcome).toBe('issued');
  expect(status).toMatchObject([
    { certificate: 0, crl: { number: 4n, thisUpdate: new Date(Math.floor(since.getTime() / 1000) * 1000) } },
    { certificate: 1, crl: { number: 1n } },
  ]);
});

it('policy allow-unknown: a voucher without status, but none for what is revoked', async () => {
  const world = createWorld({ revocation: 'allow-unknown' });
  expect(await asked(world)).toMatchObject({ outcome: 'issued', status: [] });
  expect((await asked(world, [[0, revokedCrl]])).outcome).toMatch(/^revoked: .*keyCompromise/);
  // From then on, nobody is even drawn.
  const before = world.parts.draws.size;
  expect((await asked(world)).outcome).toMatch(/^revoked/);
  expect(world.parts.draws.size).toBe(before);
});

it('an older CRL does not replace a newer one, and what has expired still revokes', async () => {
  const world = requiring();
  const { outcome } = await asked(world, [...both, [0, revokedCrl], [0, leafCrl(3)]]);
  expect(outcome).toMatch(/^revoked/);
  expect((await asked(world, both)).outcome).toMatch(/^revoked/);
  world.time += 20 * day;
  expect((await asked(world)).outcome).toMatch(/^revoked/);
  const lifted = testCrl(webIntermediate, { number: 6, thisUpdate: new Date(world.time - 60_000) });
  await world.parts.revocationEvidence.addCrl(lifted, linkOfLeaf(world), () => new Date(world.time));
  expect((await asked(world)).outcome).toMatch(/^revocation-unknown/);
});

/** The leaf's link, as the chain policy finds it. */
function linkOfLeaf(world: World) {
  const { chain, serverName } = subjectOf();
  const assessment = world.parts.chainPolicy.assess(chain, serverName, world.time);
  if ('refusal' in assessment) throw new Error(assessment.refusal.detail);
  return assessment.links[0]!;
}

it('stale: what was good once is out of date after its nextUpdate', async () => {
  const world = requiring();
  expect((await asked(world, both)).outcome).toBe('issued');
  world.time += 7 * day;
  expect((await asked(world)).outcome).toMatch(/^revocation-unknown: .* out of date/);
});

it.each([
  ['nothing', new Uint8Array(), /malformed/],
  ['a CRL that is cut off', leafCrl(4).subarray(0, -1), /malformed/],
  ['a CRL of another CA', rootCrl, /about other certificates/],
  [
    'a CRL with the name of the issuer, signed by somebody else',
    testCrl({ ...webIntermediate, privateKey: untrustedRoot.privateKey }, { number: 9, thisUpdate: since }),
    /signature does not verify/,
  ],
  ['a CRL past its nextUpdate', leafCrl(4, { nextUpdate: new Date(start.getTime() - 1000) }), /nextUpdate/],
  ['a CRL from the future', leafCrl(4, { thisUpdate: new Date(start.getTime() + 600_000) }), /future/],
])('%s is refused and counts for nothing', async (_, crl, why) => {
  const { outcome, supplied } = await asked(requiring(), [
    [0, crl],
    [1, rootCrl],
  ]);
  expect(supplied![0]).toMatch(why);
  expect(outcome).toMatch(/^revocation-unknown: CN=www/);
});

it('only who drew may supply, and only what the draw is about', async () => {
  const { issuance } = requiring();
  const { nonce } = issuance.draw(subjectOf(), coordinator);
  const code = async (action: () => unknown) => {
    const answer = await attempt(action);
    return typeof answer === 'string' ? answer.split(':')[0] : answer;
  };
  expect(await code(() => issuance.supply(nonce, 0, 'spiffe://mecai.test/another'))).toBe('unknown-draw');
  expect(await code(() => issuance.supply(new Uint8Array(32), 0, coordinator))).toBe('unknown-draw');
  expect(await code(() => issuance.supply(nonce, 2, coordinator))).toBe('malformed');
  expect(RefusalCode.REFUSAL_CODE_REVOCATION_UNKNOWN).toBe(12);
});

it('cacheOctets: the evidence used longest ago goes first', async () => {
  const world = requiring();
  const { chain, serverName } = subjectOf();
  const assessment = world.parts.chainPolicy.assess(chain, serverName, world.time);
  if ('refusal' in assessment) throw new Error(assessment.refusal.detail);
  const [first, second] = assessment.links;
  const small = new RevocationEvidence({ octets: 2_500 });
  await small.addCrl(leafCrl(4), first!, () => start);
  expect(small.status(first!, start).status).toBe('good');
  await small.addCrl(rootCrl, second!, () => start);
  expect(small.size).toBe(1);
  expect(small.status(first!, start).status).toBe('unknown');
  expect(small.status(second!, start).status).toBe('good');
  expect(small.octets).toBeLessThan(2_500);
});
