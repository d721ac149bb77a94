import { parseAddress, parsePrefix } from '@mecai/addresses';
import { KeyType } from '@mecai/proto';
import { type Subject } from '@mecai/proto/signer';
import { describe, expect, it } from 'vitest';
import { drawing, drawn, evidence, issue, outcome, second } from './testing/attempts.ts';
import { serverCertificate } from './testing/certificates.ts';
import {
  agentNames,
  bothAddresses,
  chainOf,
  createWorld,
  leaf,
  otherLeaf,
  start,
  untrustedRoot,
  vaIssued,
  webIntermediate,
} from './testing/world.ts';

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
