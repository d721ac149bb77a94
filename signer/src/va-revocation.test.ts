/** The VA's own certificates: what vouchers carry of their status, and that a revoked VA signs nothing. */
import { type RevocationPolicy, parseCertificate } from '@mecai/pki';
import { parseSignedVoucher, verifyVoucher } from '@mecai/voucher';
import { testCrl, testOcsp } from '@mecai/voucher/testing';
import { expect, it } from 'vitest';
import { RefusedError, refusalName } from './refusal.ts';
import {
  type World,
  coordinator,
  createWorld,
  observe,
  start,
  subjectOf,
  untrustedRoot,
  va,
  vaRevocationOf,
} from './testing/world.ts';
import { vaLinks } from './va-revocation.ts';

const hours = (n: number) => new Date(start.getTime() + n * 3_600_000);
const nothing = new Uint8Array();
const { certificate, intermediate, root } = va;

type Given = readonly [link: number, kind: 'crl' | 'ocsp', der: Uint8Array];
const response = (changes: Partial<Parameters<typeof testOcsp>[0]> = {}): Given => [
  0,
  'ocsp',
  testOcsp({
    about: certificate,
    issuer: intermediate,
    thisUpdate: hours(-1),
    nextUpdate: hours(10),
    ...changes,
  }),
];
const crlOfVa = (changes: object = {}): Given => [
  0,
  'crl',
  testCrl(intermediate, { number: 1, thisUpdate: hours(-2), ...changes }),
];
const crlOfIntermediate = (changes: object = {}): Given => [
  1,
  'crl',
  testCrl(root, { number: 1, thisUpdate: hours(-3), ...changes }),
];

async function attempt<T>(action: () => T | Promise<T>): Promise<T | string> {
  try {
    return await action();
  } catch (error) {
    if (!(error instanceof RefusedError)) throw error;
    return `${refusalName(error.refused.code)}: ${error.refused.detail}`;
  }
}

const worldOf = (policy: RevocationPolicy = 'allow-unknown') =>
  createWorld({ vaRevocation: vaRevocationOf(policy) });

/** What becomes of what is handed in: accepted, or why not. */
const supply = (world: World, [link, kind, bytes]: Given) =>
  attempt(async () => {
    await world.issuance.supply(nothing, link, coordinator)(kind, bytes);
    return 'accepted';
  });

/** Asks for a voucher; the evidence is handed in before the draw, or between draw and issue. */
async function asked(world: World, before: readonly Given[] = [], between: readonly Given[] = []) {
  for (const one of before) expect(await supply(world, one)).toBe('accepted');
  const drawn = await attempt(() => world.issuance.draw(subjectOf(), coordinator));
  if (typeof drawn === 'string') return drawn;
  for (const one of between) expect(await supply(world, one)).toBe('accepted');
  const evidence = drawn.agents.slice(0, 4).map((agent) => observe(agent, drawn, { observedAt: world.time }));
  const issued = await attempt(() => world.issuance.issue(drawn.nonce, evidence, coordinator));
  return typeof issued === 'string' ? issued : issued.voucher;
}

async function carried(world: World, ...given: readonly Given[]) {
  const voucher = await asked(world, given);
  if (typeof voucher === 'string') throw new Error(voucher);
  return parseSignedVoucher(voucher).revocation;
}

it('a voucher carries what there is, the OCSP response rather than the CRL', async () => {
  expect(await carried(worldOf())).toEqual([]);
  const world = worldOf();
  expect(await carried(world, crlOfVa())).toMatchObject([{ kind: 'crl' }]);
  const ocsp = response();
  const both = await carried(world, ocsp, crlOfIntermediate());
  expect(both.map(({ kind }) => kind).toSorted()).toEqual(['crl', 'ocsp']);
  expect(both.find(({ kind }) => kind === 'ocsp')?.der).toEqual(ocsp[2]);
});

it('a client that verifies the voucher learns that the VA is not revoked', async () => {
  const voucher = await asked(worldOf('require'), [response(), crlOfIntermediate()]);
  if (typeof voucher === 'string') throw new Error(voucher);
  const { vaStatus } = verifyVoucher(voucher, { now: hours(1), roots: [root.der] });
  const { status, thisUpdate, nextUpdate } = vaStatus;
  const whole = (date: Date) => new Date(Math.floor(date.getTime() / 1000) * 1000);
  expect({ status, thisUpdate, nextUpdate }).toEqual({
    status: 'good',
    thisUpdate: whole(hours(-3)),
    nextUpdate: whole(hours(10)),
  });
});

it.each([
  [
    'the VA certificate, by CRL',
    crlOfVa({ revoked: [{ certificate, reason: 1 }] }),
    /Voucher Authority.*keyCompromise/,
  ],
  ['the VA certificate, by OCSP', response({ status: 'revoked' }), /Voucher Authority.*revoked/],
  [
    'the one above it',
    crlOfIntermediate({ revoked: [{ certificate: intermediate }] }),
    /Intermediate.*revoked/,
  ],
] as const)('nothing is drawn or signed once it is known that %s is revoked', async (_, revoked, why) => {
  expect(await asked(worldOf(), [revoked])).toMatch(why);
  const world = worldOf();
  expect(await asked(world, [], [revoked])).toMatch(why);
  expect(world.records.at(-1)).toMatchObject({ event: 'refused', code: 'internal' });
  // What has expired still revokes.
  world.time += 30 * 86_400_000;
  expect(await asked(world)).toMatch(why);
});

it('policy require: nothing is signed while nothing current is known', async () => {
  const world = worldOf('require');
  expect(await asked(world)).toMatch(/^internal: the VA's own certificate: .* unknown/);
  expect(await asked(world, [response()])).toMatch(/Intermediate.* unknown/);
  expect(await asked(world, [crlOfIntermediate()])).toBeInstanceOf(Uint8Array);
  world.time = hours(11).getTime();
  expect(await asked(world)).toMatch(/Voucher Authority.* out of date/);
});

it('what has expired is not carried', async () => {
  const world = worldOf();
  expect(await carried(world, response({ nextUpdate: hours(1) }))).toHaveLength(1);
  world.time = hours(2).getTime();
  expect(await carried(world)).toEqual([]);
});

it.each([
  [
    'of another issuer',
    [0, 'crl', testCrl(untrustedRoot, { number: 1, thisUpdate: hours(-1) })],
    /other certificates/,
  ],
  [
    'that is signed by somebody else',
    [
      1,
      'crl',
      testCrl({ ...root, privateKey: untrustedRoot.privateKey }, { number: 1, thisUpdate: hours(-1) }),
    ],
    /signature/,
  ],
  ['that is malformed', [0, 'ocsp', Uint8Array.of(0x30, 0)], /malformed/],
  ['about no certificate of the VA', [2, 'crl', crlOfVa()[2]], /no link 2/],
] as const)('evidence %s is refused', async (_, given, why) => {
  const world = worldOf();
  expect(await supply(world, given)).toMatch(why);
  expect(await carried(world)).toEqual([]);
});

it('a CRL that is too large for a voucher is left out, and counts all the same', async () => {
  const large = crlOfVa({ padding: 1_000 });
  const world = worldOf('require');
  const documents = await carried(world, large, crlOfIntermediate());
  expect(documents).toHaveLength(1);
});

it('the issuer of the last certificate is looked for among those of the own CA', () => {
  const [first, second, above, stranger] = [certificate, intermediate, root, untrustedRoot].map((one) =>
    parseCertificate(one.der),
  );
  const hashes = (cas: (typeof first)[]) =>
    vaLinks(
      [first!, second!],
      cas.map((one) => one!),
    ).map((link) => link.issuer.der);
  expect(hashes([stranger, above])).toEqual([second!.der, above!.der]);
  expect(hashes([stranger])).toEqual([second!.der]);
});
