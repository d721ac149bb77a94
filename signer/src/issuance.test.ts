import { parseAddress, parsePrefix } from '@mecai/addresses';
import { defaultQuorumPolicy, parseRegistry } from '@mecai/corroboration';
import { KeyType, type SignedObservation } from '@mecai/proto';
import { type Drawn, RefusalCode, type Subject } from '@mecai/proto/signer';
import { VoucherVerifier, parseSignedVoucher, voucherSigner } from '@mecai/voucher';
import { testKey, testVa } from '@mecai/voucher/testing';
import { hash, sign } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { RefusedError, refusalName } from './refusal.ts';
import { serverCertificate } from './testing/certificates.ts';
import {
  type Observed,
  type World,
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
  subjectOf,
  untrustedRoot,
  va,
  vaIssued,
  webIntermediate,
} from './testing/world.ts';

const second = 1000;

/** `issued`, or the name of the refusal. */
async function outcome(action: () => unknown): Promise<string> {
  try {
    await action();
    return 'issued';
  } catch (error) {
    if (error instanceof RefusedError) return refusalName(error.refused.code);
    throw error;
  }
}

async function refusal(action: () => unknown): Promise<RefusedError['refused']> {
  try {
    await action();
  } catch (error) {
    if (error instanceof RefusedError) return error.refused;
    throw error;
  }
  throw new Error('not refused');
}

const drawing = (world: World, changes: Partial<Subject> = {}, who = coordinator) =>
  outcome(() => world.issuance.draw(subjectOf(changes), who));
const drawn = (world: World, changes: Partial<Subject> = {}): Drawn =>
  world.issuance.draw(subjectOf(changes), coordinator);
const issue = (world: World, { nonce }: Pick<Drawn, 'nonce'>, evidence: readonly SignedObservation[]) =>
  world.issuance.issue(nonce, evidence, coordinator);

/** Evidence of the first `matching` agents drawn, for every target; the rest as `others` makes it. */
const evidence = (
  draw: Drawn,
  matching: number,
  others: (agent: string, at: number) => SignedObservation[] = () => [],
) =>
  draw.targets.flatMap((_, at) =>
    draw.agents.flatMap((agent, i) => (i < matching ? [observe(agent, draw, { at })] : others(agent, at))),
  );
/** Four good ones are needed; the fourth is changed. */
const fourthChanged = (draw: Drawn, changes: Observed) =>
  evidence(draw, 3, (agent) => (agent === draw.agents[3] ? [observe(agent, draw, changes)] : []));

describe('draw', () => {
  it('names six distinct perspectives and what they have to look at', () => {
    const world = createWorld();
    const draw = drawn(world, bothAddresses);
    expect(new Set(draw.agents).size).toBe(6);
    expect(draw.nonce).toHaveLength(32);
    expect(draw.expiresAt).toBe(start.getTime() + 30 * second);
    expect(draw.targets.map(({ address }) => [...address])).toEqual([
      [1, 2, 3, 4],
      [...parseAddress('2600::1')],
    ]);
    expect(draw.targets[0]).toMatchObject({
      port: 443,
      serverName: 'www.example.test',
      startTls: '',
      keyType: KeyType.KEY_TYPE_ECDSA,
    });
    expect(draw.trustContexts.map(({ id, trusted }) => [id, trusted])).toEqual([
      ['MOZ', true],
      ['EMPTY', false],
    ]);
  });

  it('draws afresh each time, by key and nonce', () => {
    const world = createWorld({ limits: { perEndpoint: 1000 } });
    const draws = Array.from({ length: 40 }, () => drawn(world));
    expect(new Set(draws.map(({ nonce }) => Buffer.from(nonce).toString('hex'))).size).toBe(40);
    expect(new Set(draws.map(({ agents }) => agents.toSorted().join())).size).toBeGreaterThan(5);
    const another = createWorld({ limits: { perEndpoint: 1000 }, drawKey: Buffer.from('another secret') });
    const others = Array.from({ length: 40 }, () => drawn(another));
    expect(others.map(({ agents }) => agents.join())).not.toEqual(draws.map(({ agents }) => agents.join()));
  });

  it.each([
    '127.0.0.1',
    '127.255.255.254',
    '10.0.0.1',
    '172.31.255.255',
    '192.168.1.1',
    '169.254.169.254',
    '100.64.0.1',
    '0.0.0.0',
    '192.0.2.1',
    '198.18.0.1',
    '224.0.0.1',
    '255.255.255.255',
    '::',
    '::1',
    '::ffff:10.0.0.1',
    '::ffff:8.8.8.8',
    '::10.0.0.1',
    '64:ff9b::a00:1',
    '64:ff9b:1::a00:1',
    '2002:a00:1::1',
    '2001:0:0:1::a00:1',
    '2001:db8::1',
    '2600::5efe:a00:1',
    'fe80::1',
    'fec0::1',
    'fc00::1',
    'fd12:3456::1',
    'ff02::1',
    '100::1',
    '5f00::1',
    '4000::1',
  ])('does not aim at %s', async (text) => {
    const address = parseAddress(text);
    expect(await drawing(createWorld(), { addresses: [address] })).toBe('forbidden-target');
    if (address.length === 16) {
      const addresses = [parseAddress('1.2.3.4'), address];
      expect(await drawing(createWorld(), { addresses })).toBe('forbidden-target');
    }
  });

  it('aims at a special-purpose range that is allowed, and at no more', async () => {
    const world = createWorld({ allowedTargets: [parsePrefix('127.10.0.0/16')] });
    expect(await drawing(world, { addresses: [parseAddress('127.10.0.1')] })).toBe('issued');
    expect(await drawing(world, { addresses: [parseAddress('127.11.0.1')] })).toBe('forbidden-target');
    expect(await drawing(world, { addresses: [parseAddress('::ffff:127.10.0.1')] })).toBe('forbidden-target');
  });

  const ipv4 = parseAddress('1.2.3.4');
  const ipv6 = parseAddress('2600::1');
  it.each<[string, Partial<Subject>]>([
    ['no address', { addresses: [] }],
    ['an address of five octets', { addresses: [Uint8Array.of(1, 2, 3, 4, 5)] }],
    ['an empty address', { addresses: [new Uint8Array()] }],
    ['two IPv4 addresses', { addresses: [ipv4, ipv4] }],
    ['two IPv6 addresses', { addresses: [ipv6, ipv6] }],
    ['IPv6 before IPv4', { addresses: [ipv6, ipv4] }],
    ['three addresses', { addresses: [ipv4, ipv6, ipv6] }],
    ['port 0', { port: 0 }],
    ['port 65536', { port: 65_536 }],
    ['no server name', { serverName: '' }],
    ['a name of 254 octets', { serverName: `${'a.'.repeat(125)}test` }],
    ['another spelling of the name', { serverName: 'WWW.example.test' }],
    ['a final period', { serverName: 'www.example.test.' }],
    ['a wildcard', { serverName: '*.example.test' }],
    ['an address as name', { serverName: '1.2.3.4' }],
    ['a line end in the name', { serverName: 'www.example.test\n' }],
    ['a zero octet in the name', { serverName: 'www.example.test\0' }],
    ['a U-label', { serverName: 'wwẅ.example.test' }],
    ['an unknown STARTTLS protocol', { startTls: 'gopher' }],
    ['STARTTLS in another spelling', { startTls: 'SMTP' }],
    ['no certificate', { chain: [] }],
    ['eleven certificates', { chain: Array.from({ length: 11 }, () => leaf.der) }],
    ['an empty certificate', { chain: [new Uint8Array()] }],
    ['a leaf that is no certificate', { chain: [Buffer.from('not DER')] }],
    ['a leaf with a trailing octet', { chain: [Buffer.concat([leaf.der, Buffer.of(0)])] }],
    ['a chain of 64 KiB', { chain: [leaf.der, new Uint8Array(65_536)] }],
  ])('refuses %s as malformed', async (_, changes) => {
    const world = createWorld();
    expect(await drawing(world, changes)).toBe('malformed');
    expect(world.parts.draws.size).toBe(0);
  });

  it('refuses chains it may not vouch for', async () => {
    const name = 'www.example.test';
    const expired = serverCertificate(webIntermediate, [name], new Date(start.getTime() - 90 * 86_400_000));
    const stranger = serverCertificate(untrustedRoot, [name], start);
    const world = createWorld();
    expect(await drawing(world, { chain: chainOf(vaIssued) })).toBe('own-ca');
    expect(await drawing(world, { chain: chainOf(stranger, untrustedRoot) })).toBe('untrusted');
    expect(await drawing(world, { chain: chainOf(expired, webIntermediate) })).toBe('untrusted');
    expect(await drawing(world, { chain: chainOf(leaf) })).toBe('untrusted');
    expect(await drawing(world, { serverName: 'other.example.test' })).toBe('untrusted');
    expect(await drawing(world)).toBe('issued');
  });

  it('keeps assessments apart by name, chain and order, and for a minute only', async () => {
    const world = createWorld();
    expect(await drawing(world)).toBe('issued');
    expect(await drawing(world, { serverName: 'mail.example.test' })).toBe('issued');
    expect(await drawing(world, { serverName: 'none.example.test' })).toBe('untrusted');
    expect(
      await drawing(world, { serverName: 'mail.example.test', chain: chainOf(otherLeaf, webIntermediate) }),
    ).toBe('untrusted');
    // 80 days after the start the leaf has expired.
    world.time = start.getTime() + 80 * 86_400_000 - 30 * second;
    expect(await drawing(world)).toBe('issued');
    world.time += 120 * second;
    expect(await drawing(world)).toBe('untrusted');
  });

  it('refuses when the registry has too few perspectives', async () => {
    const world = createWorld({ names: agentNames.slice(0, 5) });
    expect(await drawing(world)).toBe('too-few-perspectives');
  });

  it('refuses once the VA certificate has expired', async () => {
    const world = createWorld({ vaNotAfter: start.getTime() });
    expect(await drawing(world)).toBe('internal');
  });

  it('keeps nothing of the message it came in', async () => {
    const world = createWorld();
    const message = Buffer.concat([leaf.der, webIntermediate.der]);
    const chain = [message.subarray(0, leaf.der.length), message.subarray(leaf.der.length)];
    const draw = drawn(world, { chain });
    message.fill(0);
    expect(await outcome(() => issue(world, draw, evidence(draw, 4)))).toBe('issued');
  });
});

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

describe('grinding for a draw that suits', () => {
  it('is limited while the draws are open', async () => {
    const world = createWorld({ limits: { perEndpoint: 3 } });
    const draws = [drawn(world), drawn(world), drawn(world)];
    expect(await drawing(world)).toBe('draw-limit');
    // A voucher makes room: that draw did not come to nothing.
    await issue(world, draws[0]!, evidence(draws[0]!, 4));
    expect(await drawing(world)).toBe('issued');
    expect(await drawing(world)).toBe('draw-limit');
  });

  it('is limited after the draws have expired, for the length of the window', async () => {
    const world = createWorld({ limits: { perEndpoint: 3 } });
    for (let i = 0; i < 3; i++) drawn(world);
    world.time += 30 * second;
    expect(await drawing(world)).toBe('draw-limit');
    expect(world.records.filter(({ event }) => event === 'draw-abandoned')).toHaveLength(3);
    world.time += 59_999;
    expect(await drawing(world)).toBe('draw-limit');
    world.time += 1;
    expect(await drawing(world)).toBe('issued');
  });

  it('does not get a fresh count by another spelling, chain, protocol or second address', async () => {
    const world = createWorld({ limits: { perEndpoint: 2 } });
    drawn(world);
    drawn(world, bothAddresses);
    const ways: Partial<Subject>[] = [
      {},
      bothAddresses,
      { addresses: [parseAddress('1.2.3.4'), parseAddress('2600::2')] },
      { serverName: 'mail.example.test' },
      { startTls: 'smtp' },
      { chain: chainOf(leaf, webIntermediate, otherLeaf) },
    ];
    for (const way of ways) expect(await drawing(world, way)).toBe('draw-limit');
  });

  it('leaves other endpoints, leaves and coordinators alone', async () => {
    const world = createWorld({ limits: { perEndpoint: 1 } });
    drawn(world);
    expect(await drawing(world)).toBe('draw-limit');
    expect(await drawing(world, { port: 8443 })).toBe('issued');
    expect(await drawing(world, { addresses: [parseAddress('1.2.3.5')] })).toBe('issued');
    expect(await drawing(world, { chain: chainOf(otherLeaf, webIntermediate) })).toBe('issued');
    expect(await drawing(world, {}, 'spiffe://mecai.test/coordinator-2')).toBe('issued');
  });

  it('cannot use up the room of another coordinator', async () => {
    const world = createWorld({ limits: { open: 2 } });
    const to = (last: number) => ({ addresses: [Uint8Array.of(1, 2, 3, last)] });
    expect(await drawing(world, to(1))).toBe('issued');
    expect(await drawing(world, to(2))).toBe('issued');
    expect(await drawing(world, to(3))).toBe('draw-limit');
    expect(await drawing(world, to(3), 'spiffe://mecai.test/coordinator-2')).toBe('issued');
    world.time += 30 * second;
    expect(await drawing(world, to(4))).toBe('issued');
  });
});

describe('trouble of its own', () => {
  const { signer } = va;
  const broken = (changes: object): typeof signer => ({
    ...signer,
    prepare: (voucher, time) => signer.prepare({ ...voucher, ...changes }, time),
  });
  const stranger = testVa();
  it.each<[rule: string, parts: Parameters<typeof createWorld>[0]]>([
    ['content: port', { voucherSigner: broken({ port: 444 }) }],
    ['content: leaf', { voucherSigner: broken({ leaf: new Uint8Array(32) }) }],
    ['content: trustContexts', { voucherSigner: broken({ trustContexts: ['MOZ', 'CHROME'] }) }],
    ['content: ipv4', { voucherSigner: broken({ ipv4: parseAddress('5.6.7.8') }) }],
    ['content: notAfter', { voucherSigner: broken({ notAfter: new Date('2026-11-23T00:00:00Z') }) }],
    ['lifetime', { voucherLifetimeSeconds: 86_401 }],
    ['signature', { sign: (bytes) => sign('sha256', bytes, stranger.certificate.privateKey) }],
    ['signature', { sign: () => sign('sha256', Buffer.from('something else'), va.certificate.privateKey) }],
    ['certificates', { voucherSigner: stranger.signer }],
    [
      'certificates',
      { voucherSigner: voucherSigner({ certificate: va.certificate.der, intermediates: [] }) },
    ],
    [
      'signing-time',
      {
        voucherSigner: {
          ...signer,
          prepare: (voucher) => signer.prepare(voucher, new Date(start.getTime() + 3600 * second)),
        },
      },
    ],
    ['serial', { random: (octets) => new Uint8Array(octets) }],
    [
      'va-certificate-lifetime',
      { voucherLifetimeSeconds: 500 * 86_400, vaNotAfter: start.getTime() + 500 * 86_400 * second },
    ],
  ])('a voucher wrong in %s does not leave', async (rule, parts) => {
    const world = createWorld(parts);
    const draw = drawn(world);
    const refused = await refusal(() => issue(world, draw, evidence(draw, 4)));
    expect(refused.code).toBe(RefusalCode.REFUSAL_CODE_INTERNAL);
    expect(refused.detail).toContain(rule.replace(/^content: (.*)/, 'content: $1 is not'));
    expect(world.records).toMatchObject([{ event: 'refused', code: 'internal' }]);
  });

  it.each<[string, Parameters<typeof createWorld>[0]]>([
    [
      'the HSM does not answer',
      {
        sign: () => {
          throw new Error('token gone');
        },
      },
    ],
    ['the HSM answers nonsense', { sign: () => Buffer.from('nonsense') }],
    ['the voucher cannot be encoded', { voucherSigner: broken({ port: 0 }) }],
  ])('refuses and puts on record that %s', async (_, parts) => {
    const world = createWorld(parts);
    const draw = drawn(world);
    const refused = await refusal(() => issue(world, draw, evidence(draw, 4)));
    expect(refused).toMatchObject({
      code: RefusalCode.REFUSAL_CODE_INTERNAL,
      detail: 'the voucher was not signed',
    });
    expect(world.records).toMatchObject([{ event: 'refused', code: 'internal', evidence: { length: 4 } }]);
  });

  it('gives no voucher out that is not on record', async () => {
    let written = Promise.withResolvers<number>();
    const world = createWorld({ audit: () => written.promise });
    const draw = drawn(world);
    let done = false;
    const waiting = issue(world, draw, evidence(draw, 4)).then((issued) => {
      done = true;
      return issued;
    });
    await new Promise(setImmediate);
    expect(done).toBe(false);
    written.resolve(41);
    expect((await waiting).auditSequence).toBe(41);

    const next = drawn(world);
    written = Promise.withResolvers<number>();
    written.reject(new Error('disk full'));
    expect(await outcome(() => issue(world, next, evidence(next, 4)))).toBe('internal');
    // That draw is spent: a voucher was signed on it.
    expect(await outcome(() => issue(world, next, evidence(next, 4)))).toBe('unknown-draw');
  });

  it('a refusal that cannot be put on record is a refusal', async () => {
    const world = createWorld({ audit: () => Promise.reject(new Error('disk full')) });
    const draw = drawn(world);
    expect(await outcome(() => issue(world, draw, evidence(draw, 3)))).toBe('no-quorum');
  });
});
