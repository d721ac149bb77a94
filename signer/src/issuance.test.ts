import { hash, sign } from 'node:crypto';
import { parseAddress } from '@mecai/addresses';
import { defaultQuorumPolicy, parseRegistry } from '@mecai/corroboration';
import { KeyType, type SignedObservation } from '@mecai/proto';
import { type Drawn, RefusalCode } from '@mecai/proto/signer';
import { VoucherVerifier, parseSignedVoucher } from '@mecai/voucher';
import { testKey } from '@mecai/voucher/testing';
import { describe, expect, it } from 'vitest';
import { drawn, evidence, fourthChanged, issue, outcome, refusal, second } from './testing/attempts.ts';
import {
  type Observed,
  agentKey,
  agentKeys,
  agentNames,
  bothAddresses,
  chainOf,
  coordinator,
  createWorld,
  leaf,
  observe,
  otherLeaf,
  registryText,
  start,
  va,
  webIntermediate,
} from './testing/world.ts';

describe('issue', () => {
  it('issues on four matches of six, and says what was seen', async () => {
    const world = createWorld();
    const draw = drawn(world);
    const dissent = (agent: string) =>
      agent === draw.agents[4] ? [observe(agent, draw, { chain: chainOf(otherLeaf, webIntermediate) })] : [];
    const { voucher: bytes, auditSequence } = await issue(world, draw, evidence(draw, 4, dissent));
    const { content: voucher } = new VoucherVerifier({ roots: [va.root.der] }).verify(bytes, start);
    expect(voucher).toMatchObject({
      port: 443,
      status: [],
      producedAt: new Date('2026-11-22T12:00:00Z'),
      notAfter: new Date('2026-11-23T12:00:00Z'),
      trustContexts: ['MOZ'],
      quorum: { asked: 6, matches: 4, regions: 2, networks: 2, kilometres: 500, intermediates: true },
      directoryVersion: 3,
    });
    expect(Buffer.from(voucher.ipv4!).toString('hex')).toBe('01020304');
    expect(voucher.ipv6).toBeUndefined();
    expect(Buffer.from(voucher.leaf)).toEqual(hash('sha256', leaf.der, 'buffer'));
    expect(voucher.intermediates.map((one) => Buffer.from(one))).toEqual([
      hash('sha256', webIntermediate.der, 'buffer'),
    ]);
    const shown = voucher.perspectives.map(
      ({ country, rir, asn, ipv4 }) => `${country} ${rir} ${asn} ${ipv4}`,
    );
    const expected = draw.agents.slice(0, 5).map((name, i) => {
      const { country, rir, asn } = world.registry.agents.get(name)!;
      return `${country} ${rir} ${asn} ${i < 4 ? 'match' : 'mismatch'}`;
    });
    expect(shown.toSorted()).toEqual(expected.toSorted());
    expect(world.records[auditSequence - 1]).toMatchObject({
      event: 'issued',
      coordinator,
      serial: Buffer.from(voucher.serial).toString('hex'),
      content: hash('sha256', parseSignedVoucher(bytes).content, 'hex'),
      nonce: Buffer.from(draw.nonce).toString('hex'),
      faults: [],
    });
    expect(world.records[0]!['evidence']).toHaveLength(5);
  });

  it('does not issue on three matches, and issues when the fourth comes', async () => {
    const world = createWorld();
    const draw = drawn(world);
    expect(await outcome(() => issue(world, draw, evidence(draw, 3)))).toBe('no-quorum');
    expect(world.records).toMatchObject([{ event: 'refused', code: 'no-quorum', coordinator }]);
    expect(await outcome(() => issue(world, draw, evidence(draw, 4)))).toBe('issued');
  });

  it('refuses no evidence at all', async () => {
    const world = createWorld();
    expect(await outcome(() => issue(world, drawn(world), []))).toBe('no-quorum');
  });

  const otherKey = testKey().privateKey;
  const shifted = (by: number): Observed => ({ observedAt: start.getTime() + by });
  const ofTarget =
    (members: object): ((draw: Drawn) => Observed) =>
    ({ targets: [target] }) => ({ target: { ...target!, ...members } });
  it.each<[what: string, fault: string | undefined, changes: (draw: Drawn) => Observed]>([
    ['aimed at another address', 'other-target', ofTarget({ address: parseAddress('1.2.3.5') })],
    [
      'aimed at the address in IPv6 form',
      'other-target',
      ofTarget({ address: parseAddress('::ffff:1.2.3.4') }),
    ],
    ['aimed at another port', 'other-target', ofTarget({ port: 8443 })],
    ['with another SNI', 'other-target', ofTarget({ serverName: 'mail.example.test' })],
    ['over STARTTLS', 'other-target', ofTarget({ startTls: 'smtp' })],
    ['for the other key type', 'other-target', ofTarget({ keyType: KeyType.KEY_TYPE_RSA })],
    ['without a target', 'other-target', () => ({ target: undefined })],
    ['of another draw', 'other-task', () => ({ nonce: new Uint8Array(32) })],
    ['with half the nonce', 'other-task', ({ nonce }) => ({ nonce: nonce.subarray(0, 16) })],
    ['two minutes and more ago', 'clock', () => shifted(-120_001)],
    ['two minutes and more ahead', 'clock', () => shifted(120_001)],
    ['two minutes ago', 'none', () => shifted(-120_000)],
    ['two minutes ahead', 'none', () => shifted(120_000)],
    ['signed by nobody known', 'bad-signature', () => ({ key: otherKey })],
    ['signed by another agent', 'bad-signature', ({ agents }) => ({ key: agentKey(agents[0]!) })],
    ['in the name of one who is not registered', 'not-asked', () => ({ agent: 'atlantis' })],
    ['without a name', 'not-asked', () => ({ agent: '' })],
    ['of another leaf', undefined, () => ({ chain: chainOf(otherLeaf, webIntermediate) })],
    ['of the leaf alone', undefined, () => ({ chain: chainOf(leaf) })],
    ['with a stray certificate', undefined, () => ({ chain: chainOf(leaf, webIntermediate, otherLeaf) })],
    ['in another order', undefined, () => ({ chain: chainOf(webIntermediate, leaf) })],
    ['without proof of the key', undefined, () => ({ possessionProven: false })],
    ['without a certificate', undefined, () => ({ chain: [] })],
  ])('an observation %s counts as it should: %s', async (_, fault, changes) => {
    const world = createWorld();
    const draw = drawn(world);
    const action = () => issue(world, draw, fourthChanged(draw, changes(draw)));
    if (fault === 'none') {
      expect(await outcome(action)).toBe('issued');
      return;
    }
    const refused = await refusal(action);
    expect(refused.code).toBe(RefusalCode.REFUSAL_CODE_NO_QUORUM);
    expect(refused.faults.map((one) => one.fault)).toEqual(fault ? [fault] : []);
    expect(world.parts.draws.size).toBe(1);
    // What was wrong with one takes nothing from the others.
    expect(await outcome(() => issue(world, draw, evidence(draw, 4)))).toBe('issued');
  });

  it('does not count agents that were not drawn', async () => {
    const world = createWorld();
    const draw = drawn(world);
    const spare = agentNames.filter((name) => !draw.agents.includes(name));
    const some = [...evidence(draw, 3), ...spare.map((name) => observe(name, draw))];
    const refused = await refusal(() => issue(world, draw, some));
    expect(refused.faults).toEqual(spare.map(() => ({ agent: '', fault: 'not-asked' })));
  });

  it.each<[string, (good: SignedObservation) => SignedObservation]>([
    ['an empty signature', (good) => ({ ...good, signature: new Uint8Array() })],
    ['a signature of 1 MB', (good) => ({ ...good, signature: new Uint8Array(1 << 20) })],
    ['a signature that is not DER', (good) => ({ ...good, signature: new Uint8Array(64).fill(7) })],
    ['the signature cut short', (good) => ({ ...good, signature: good.signature.slice(0, -1) })],
    [
      'a trailing octet after the signature',
      (good) => ({ ...good, signature: Buffer.concat([good.signature, Buffer.of(0)]) }),
    ],
    [
      'an octet appended to what is signed',
      (good) => ({ ...good, observation: Buffer.concat([good.observation, Buffer.of(0x60, 1)]) }),
    ],
    ['no observation', (good) => ({ ...good, observation: new Uint8Array() })],
    ['noise', (good) => ({ ...good, observation: Buffer.alloc(100, 0xff) })],
    [
      'a length beyond the end',
      (good) => ({ ...good, observation: Buffer.of(0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f) }),
    ],
    ['1 MB of nothing', (good) => ({ ...good, observation: new Uint8Array(1 << 20) })],
    [
      'a signature without the domain',
      (good) => ({
        ...good,
        signature: sign('sha256', good.observation, agentKey('berlin')),
      }),
    ],
  ])('%s does not count', async (_, spoil) => {
    const world = createWorld();
    const draw = drawn(world);
    const [first, ...rest] = evidence(draw, 4);
    expect(await outcome(() => issue(world, draw, [spoil(first!), ...rest]))).toBe('no-quorum');
    expect(await outcome(() => issue(world, draw, [spoil(first!), first!, ...rest]))).toBe('issued');
  });

  it('counts an observation once, however often it comes', async () => {
    const world = createWorld();
    const draw = drawn(world);
    const three = evidence(draw, 3);
    expect(await outcome(() => issue(world, draw, [...three, ...three]))).toBe('no-quorum');
    expect(await outcome(() => issue(world, draw, [...three, ...evidence(draw, 4)]))).toBe('issued');
    expect(world.records.at(-1)!['evidence']).toHaveLength(4);
  });

  it('counts nothing of an agent that contradicts itself, in whatever order', async () => {
    for (const reversed of [false, true]) {
      const world = createWorld();
      const draw = drawn(world);
      const name = draw.agents[3]!;
      const two = [observe(name, draw), observe(name, draw, { chain: chainOf(otherLeaf, webIntermediate) })];
      const some = [...evidence(draw, 3), ...(reversed ? two.toReversed() : two), two[0]!];
      const refused = await refusal(() => issue(world, draw, some));
      expect(refused.faults).toEqual([{ agent: name, fault: 'equivocation' }]);
      expect(world.records.at(-1)!['evidence']).toHaveLength(5);
    }
  });

  it('does not count an agent struck off, or given another key, since the draw', async () => {
    const world = createWorld();
    const draw = drawn(world);
    const struck = draw.agents[0]!;
    const four = evidence(draw, 4);
    world.registry = parseRegistry(
      registryText(
        agentNames.filter((name) => name !== struck),
        4,
      ),
    );
    expect(await outcome(() => issue(world, draw, four))).toBe('no-quorum');

    const newKey = testKey();
    const keys = new Map(agentNames.map((name) => [name, name === struck ? newKey : agentKeys.get(name)!]));
    world.registry = parseRegistry(registryText(agentNames, 5, keys));
    expect(await outcome(() => issue(world, draw, four))).toBe('no-quorum');
    const resigned = [observe(struck, draw, { key: newKey.privateKey }), ...four.slice(1)];
    expect(await outcome(() => issue(world, draw, resigned))).toBe('no-quorum');

    world.registry = parseRegistry(registryText(agentNames, 6));
    expect(await outcome(() => issue(world, draw, four))).toBe('issued');
  });

  it('names the registry of the draw in the voucher', async () => {
    const world = createWorld();
    const draw = drawn(world);
    world.registry = parseRegistry(registryText(agentNames, 9));
    const { voucher } = await issue(world, draw, evidence(draw, 4));
    expect(parseSignedVoucher(voucher).voucher.directoryVersion).toBe(3);
  });

  it('refuses when most see another chain', async () => {
    const world = createWorld();
    const draw = drawn(world);
    const attack = (agent: string) => [observe(agent, draw, { chain: chainOf(otherLeaf, webIntermediate) })];
    const { detail } = await refusal(() => issue(world, draw, evidence(draw, 2, attack)));
    expect(detail).toContain('2 of 6 perspectives match');
    expect(detail).toContain('4 mismatch');
  });

  it('asks for matches in two regions and networks', async () => {
    const policy = { ...defaultQuorumPolicy, perspectives: 4, minRegions: 4 };
    const world = createWorld({ policy });
    const draw = drawn(world);
    expect(await outcome(() => issue(world, draw, evidence(draw, 3)))).toBe('no-quorum');
    const { voucher } = await issue(world, draw, evidence(draw, 4));
    // Three of four would be enough; four regions take four.
    expect(parseSignedVoucher(voucher).voucher.quorum).toMatchObject({ asked: 4, matches: 4, regions: 4 });
  });

  it('lets intermediates differ where the policy does', async () => {
    const world = createWorld({ policy: { ...defaultQuorumPolicy, matchIntermediates: false } });
    const draw = drawn(world);
    const alone = draw.agents.map((agent) => observe(agent, draw, { chain: chainOf(leaf) }));
    const { voucher } = await issue(world, draw, alone);
    expect(parseSignedVoucher(voucher).voucher.quorum.intermediates).toBe(false);
  });

  it('wants both addresses corroborated by the same perspectives', async () => {
    const world = createWorld();
    const draw = drawn(world, bothAddresses);
    const [a, b, c, d, e, f] = draw.agents as [string, string, string, string, string, string];
    const at = (target: number, ...names: string[]) =>
      names.map((name) => observe(name, draw, { at: target }));
    expect(await outcome(() => issue(world, draw, at(0, a, b, c, d)))).toBe('no-quorum');
    expect(await outcome(() => issue(world, draw, [...at(0, a, b, c, d), ...at(1, a, b, c)]))).toBe(
      'no-quorum',
    );
    // Four at each address, but only two at both: a voucher would not show a quorum.
    const split = [...at(0, a, b, c, d), ...at(1, c, d, e, f)];
    expect(await outcome(() => issue(world, draw, split))).toBe('no-quorum');
    const { voucher } = await issue(world, draw, [...split, ...at(1, a, b)]);
    const { perspectives } = parseSignedVoucher(voucher).voucher;
    expect(perspectives.filter(({ ipv4, ipv6 }) => ipv4 === 'match' && ipv6 === 'match')).toHaveLength(4);
    expect(perspectives.filter(({ ipv4, ipv6 }) => ipv4 === 'inconclusive' && ipv6 === 'match')).toHaveLength(
      2,
    );
  });

  it('an observation of one address does not stand for the other', async () => {
    const world = createWorld();
    const draw = drawn(world, bothAddresses);
    const first = evidence({ ...draw, targets: draw.targets.slice(0, 1) }, 6);
    expect(await outcome(() => issue(world, draw, [...first, ...first]))).toBe('no-quorum');
  });

  it("does not take another coordinator's nonce", async () => {
    const world = createWorld();
    const draw = drawn(world);
    const theirs = () =>
      world.issuance.issue(draw.nonce, evidence(draw, 4), 'spiffe://mecai.test/coordinator-2');
    expect(await outcome(theirs)).toBe('unknown-draw');
    expect(world.records).toEqual([]);
    expect(await outcome(() => issue(world, draw, evidence(draw, 4)))).toBe('issued');
  });

  it.each([new Uint8Array(), new Uint8Array(32), new Uint8Array(1 << 20)])(
    'does not know a nonce it never drew (%#)',
    async (nonce) => {
      const world = createWorld();
      drawn(world);
      expect(await outcome(() => issue(world, { nonce }, []))).toBe('unknown-draw');
    },
  );

  it('does not take evidence once the draw has expired', async () => {
    const world = createWorld();
    const draw = drawn(world);
    world.time += 29_999;
    expect(await outcome(() => issue(world, draw, evidence(draw, 3)))).toBe('no-quorum');
    world.time += 1;
    expect(await outcome(() => issue(world, draw, evidence(draw, 4)))).toBe('unknown-draw');
    expect(world.records.at(-1)).toMatchObject({ event: 'draw-abandoned' });
  });

  it('issues once from a draw, even when asked twice at the same time', async () => {
    const world = createWorld();
    const draw = drawn(world);
    const both = await Promise.all([
      outcome(() => issue(world, draw, evidence(draw, 4))),
      outcome(() => issue(world, draw, evidence(draw, 6))),
    ]);
    expect(both).toEqual(['issued', 'unknown-draw']);
    expect(await outcome(() => issue(world, draw, evidence(draw, 4)))).toBe('unknown-draw');
  });

  it('does not take the evidence of one draw for another, before or after success', async () => {
    const world = createWorld();
    const first = drawn(world);
    const next = drawn(world);
    const used = evidence(first, 6);
    const replay = () => refusal(() => issue(world, next, used));
    expect((await replay()).faults.some(({ fault }) => fault === 'other-task')).toBe(true);
    await issue(world, first, used);
    expect((await replay()).code).toBe(RefusalCode.REFUSAL_CODE_NO_QUORUM);
    // The old nonce on the new draw's observations is no more use.
    expect(await outcome(() => issue(world, first, evidence(next, 6)))).toBe('unknown-draw');
  });

  it('takes twice the observations asked for, and not one more', async () => {
    const world = createWorld();
    const draw = drawn(world);
    const noise = Array.from({ length: 8 }, () => ({ observation: Buffer.of(0), signature: Buffer.of(0) }));
    const twelve = [...noise, ...evidence(draw, 4)];
    expect(await outcome(() => issue(world, draw, [...twelve, noise[0]!]))).toBe('malformed');
    expect(world.records.at(-1)).toMatchObject({ event: 'refused', code: 'malformed' });
    expect(await outcome(() => issue(world, draw, twelve))).toBe('issued');
  });

  it('takes evidence for a draw eight times', async () => {
    const world = createWorld();
    const draw = drawn(world);
    for (let i = 0; i < 8; i++) {
      expect(await outcome(() => issue(world, draw, evidence(draw, 3)))).toBe('no-quorum');
    }
    expect(await outcome(() => issue(world, draw, evidence(draw, 6)))).toBe('draw-limit');
    expect(world.records).toHaveLength(8);
  });

  it('ends no voucher after the VA certificate', async () => {
    const world = createWorld({ vaNotAfter: start.getTime() + 3600 * second });
    const draw = drawn(world);
    const { voucher } = await issue(world, draw, evidence(draw, 4));
    expect(parseSignedVoucher(voucher).voucher.notAfter).toEqual(new Date('2026-11-22T13:00:00Z'));
  });

  it('lets vouchers live as long as configured', async () => {
    const world = createWorld({ voucherLifetimeSeconds: 600 });
    const draw = drawn(world);
    const { voucher } = await issue(world, draw, evidence(draw, 4));
    expect(parseSignedVoucher(voucher).voucher.notAfter).toEqual(new Date('2026-11-22T12:10:00Z'));
  });
});
