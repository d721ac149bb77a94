/**
 * Vouchers of three VAs, three networks of three CAs, through stock nginx and Apache to enforcing clients. Nothing
 * between the targets' keys and the clients' verdicts is made up, except distances.
 */
import { type ClientPolicy, ClientError, defaultPolicy } from '@mecai/client';
import { type Assembled } from '@mecai/client/staple';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { pem, serverCertificate } from '../network/index.ts';
import { type ClientOptions, connect, type Connecting, guardOf } from './client.ts';
import {
  freePorts,
  identity,
  otherAddress,
  serverAddress,
  type Site,
  StockServers,
} from './stock-servers.ts';
import { vaNames, type World } from './world.ts';

const day = 86_400_000;
const kinds = ['nginx', 'apache'] as const;
const choice = (choose: number, accept: number, rules: ClientPolicy['choice']['rules'] = []) => ({
  choose,
  accept,
  rules,
});

/** @param at what `beforeAll` of the caller has started */
export function stapledTests(at: () => { readonly world: World; readonly servers: StockServers }): void {
  let world: World;
  let servers: StockServers;
  const staplers: Assembled[] = [];
  const ports = { nginx: 0, apache: 0, dual: 0 };

  beforeAll(async () => {
    ({ world, servers } = at());
    const { webIntermediate } = world.web.pki;
    const leaf = () => serverCertificate(webIntermediate, { dns: ['www.shop.test'] });
    const rsa = serverCertificate(webIntermediate, { dns: ['www.shop.test'] }, 'rsa');
    [ports.nginx = 0, ports.apache = 0, ports.dual = 0] = await freePorts(3);
    const bundles = world.file('bundles/x').slice(0, -2);
    const identities = {
      nginx: [identity(world, 'nginx-leaf', leaf(), webIntermediate)],
      // Vouchers go with the last; Node's clients are shown the RSA one.
      dual: [identity(world, 'rsa', rsa, webIntermediate), identity(world, 'ec', leaf(), webIntermediate)],
      apache: [identity(world, 'apache-leaf', leaf(), webIntermediate)],
    };
    // Servers that run already get a line each.
    const configure = (stapled: boolean) => {
      const site = (name: keyof typeof ports): Site => ({
        port: ports[name],
        identities: identities[name],
        bundles,
        ...(stapled && { serverInfo: world.file(`${name}.serverinfo`) }),
      });
      return {
        nginx: servers.nginx('nginx', [site('nginx'), site('dual')]),
        apache: servers.apache('apache', [site('apache')]),
      };
    };
    const { nginx, apache } = configure(false);
    await servers.startNginx(nginx, [ports.nginx, ports.dual]);
    await servers.startApache(apache, [ports.apache]);
    configure(true);
    staplers.push(...kinds.map((kind) => staplerOf(kind)));
    await Promise.all(staplers.map(({ stapler }) => stapler.round()));
    for (const { stapler } of staplers) {
      expect(stapler.status.problems).toEqual([]);
      const said = stapler.status.targets.flatMap(({ vas }) =>
        [...vas.values()].map(({ last }) => last!.status),
      );
      expect(new Set(said)).toEqual(new Set(['issued']));
    }
    // The reload is a signal, and old workers answer for another moment: until five in a row are served.
    const patient = client({ choice: choice(3, 3) });
    for (const port of Object.values(ports)) {
      for (let served = 0; served < 5; ) {
        const { codes } = await connect(patient, { port, keyType: 'ecdsa' });
        served = codes.length === 0 ? served + 1 : 0;
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    }
  }, 180_000);
  afterAll(() => {
    for (const { close } of staplers) close();
  });

  function staplerOf(kind: (typeof kinds)[number], now?: () => number): Assembled {
    const conf = world.file(`${kind}.conf`);
    const commands = {
      nginx: {
        server: { kind, configuration: conf },
        test: servers.nginxCommand(conf, '-t'),
        reload: servers.nginxCommand(conf, '-s', 'reload'),
      },
      apache: {
        server: { kind, configuration: conf, serverRoot: world.directory },
        test: servers.apacheCommand(conf, '-t'),
        reload: servers.apacheCommand(conf, '-k', 'graceful'),
      },
    };
    // Clients come to the first address; the voucher is for that one.
    const nat = { [otherAddress]: serverAddress };
    return world.stapler(kind, { ...commands[kind], nat, wellKnown: 'bundles' }, now);
  }

  /** The three alone: whichever are chosen, they have vouched. */
  const three = (changes: Partial<World['list']> = {}) => ({
    ...world.list,
    vas: world.list.vas.slice(0, 3),
    ...changes,
  });
  const client = (policy: Partial<ClientPolicy> = {}, options: Partial<ClientOptions> = {}) =>
    guardOf({ list: three(), policy: { trustContext: 'MOZ', ...policy }, ...options });
  describe.each(kinds)('a client of stock %s', (kind) => {
    const target: () => Connecting = () => ({ port: ports[kind] });

    test.each<[string, Partial<ClientPolicy>, number]>([
      ['wants one of three', {}, 1],
      ['wants one, chosen beforehand', { choice: choice(1, 1) }, 1],
      ['wants all three', { choice: choice(3, 3) }, 3],
      [
        'wants no statement from Germany, and three perspectives outside',
        { choice: choice(3, 2, [{ vas: { notIn: ['DE'] }, perspectives: [{ notIn: ['DE'], atLeast: 3 }] }]) },
        2,
      ],
      [
        'wants four matches in two regions and two networks',
        { quorum: { matches: 4, regions: 2, networks: 2 } },
        1,
      ],
    ])('that %s accepts', async (_, policy, vouchers) => {
      const { outcome, codes } = await connect(client(policy), target());
      expect(codes).toEqual([]);
      expect(outcome.verdict).toBe('accept');
      expect(outcome.check.status).toBe('good');
      expect(outcome.check.vouchers.filter(({ failures }) => failures.length === 0)).toHaveLength(vouchers);
    });

    test.each<[string, ClientPolicy['routes']]>([
      ['on the same connection, from a file of the server', ['well-known']],
      ['by a second connection, in the handshake', ['tls-extension']],
    ])('of node:tls accepts %s', async (_, routes) => {
      const { socket, outcome } = await guarded(kind, { routes });
      expect(outcome).toMatchObject({ verdict: 'accept', routes });
      socket.destroy();
    });
  });

  const guarded = (kind: keyof typeof ports, policy: Partial<ClientPolicy>) =>
    client(policy).connect({
      host: serverAddress,
      port: ports[kind],
      servername: 'www.shop.test',
      ca: pem(world.web.pki.webRoot),
      http: true,
    });

  describe('what does not fit is refused by enforcing clients of either server', () => {
    const stranger = () => world.inName[0]!;
    const refusals: readonly (readonly [
      string,
      () => Partial<ClientPolicy>,
      () => Partial<ClientOptions>,
    ])[] = [
      ['expired', () => ({}), () => ({ ahead: day + 3_600_000 })],
      ['expired', () => ({ maxAgeSeconds: 60 }), () => ({ ahead: 3_600_000 })],
      ['not-yet-valid', () => ({}), () => ({ ahead: -3_600_000 })],
      [
        'untrusted-va',
        () => ({}),
        () => ({ list: three({ vas: three().vas.map((va) => ({ ...va, roots: [stranger().root.der] })) }) }),
      ],
      ['trust-context-missing', () => ({ trustContext: 'APPLE' }), () => ({})],
      ['weak-quorum', () => ({ quorum: { matches: 7 } }), () => ({})],
      [
        'wrong-perspectives',
        () => ({ choice: choice(3, 1, [{ perspectives: [{ in: ['BR'], atLeast: 1 }] }]) }),
        () => ({}),
      ],
      ['no-voucher', () => ({}), () => ({ list: three({ vas: [stranger().entry] }) })],
      [
        'too-few-vouchers',
        () => ({ choice: choice(4, 4) }),
        () => ({ list: three({ vas: world.list.vas.slice(0, 4) }) }),
      ],
    ];
    test.each(refusals)('%s', async (code, policy, options) => {
      for (const kind of kinds) {
        const { codes, outcome } = await connect(client(policy(), options()), { port: ports[kind] });
        expect(codes).toContain(code);
        expect(outcome.verdict).toBe('reject');
      }
    });

    test('other-address: the same server at another address', async () => {
      const { codes } = await connect(client(), { port: ports.nginx, address: otherAddress });
      expect(codes).toContain('other-address');
    });

    test('va-not-chosen and va-distrusted, from the file that has vouchers of all', async () => {
      const [alpha, beta, gamma] = three().vas;
      const list = three({
        vas: [
          { ...alpha!, status: 'distrusted' },
          { ...beta!, status: 'retired' },
          gamma!,
          { ...world.inName[0]!.entry },
        ],
      });
      const guard = client(
        { choice: choice(1, 1, [{ vas: { notIn: [gamma!.country] } }]), routes: ['well-known'] },
        { list },
      );
      const refused = guard.connect({
        host: serverAddress,
        port: ports.nginx,
        servername: 'www.shop.test',
        ca: pem(world.web.pki.webRoot),
        http: true,
      });
      await expect(refused).rejects.toBeInstanceOf(ClientError);
      await expect(refused).rejects.toMatchObject({
        code: 'refused',
        failures: expect.arrayContaining([
          expect.objectContaining({ code: 'va-distrusted' }),
          expect.objectContaining({ code: 'va-not-chosen' }),
        ]),
      });
    });

    test.each<[ClientPolicy['mode'], string]>([
      ['report-only', 'accept'],
      ['warn', 'warn'],
      ['enforce', 'reject'],
    ])('or not, in mode %s: %s', async (mode, verdict) => {
      const { outcome } = await connect(client({ mode, trustContext: 'APPLE' }), { port: ports.apache });
      expect(outcome.verdict).toBe(verdict);
    });
  });

  describe('a server with two certificates, whose vouchers go with the ECDSA one', () => {
    test('shows the other to a client that finds none with the first', async () => {
      const { codes } = await connect(client(), { port: ports.dual, keyType: 'rsa' });
      expect(codes).toContain('no-voucher');
      const { socket, outcome } = await guarded('dual', { routes: ['tls-extension'] });
      expect(outcome).toMatchObject({
        verdict: 'accept',
        firstFailures: expect.arrayContaining([expect.objectContaining({ code: 'no-voucher' })]),
      });
      socket.destroy();
    });
  });

  test('a VA that distrusts the CA asks for early renewal, and its vouchers are followed to none', async () => {
    const { files } = world.networks.alpha;
    const issuer = world.file('web-root.pem', pem(world.web.pki.webRoot));
    const reason = ['--reason', 'broken into', '--author', 'Ada'];
    const admin = join(import.meta.dirname, '../../../admin/src/main.ts');
    execFileSync(process.execPath, [
      admin,
      'distrust',
      'add',
      '--config',
      files.admin,
      '--issuer',
      issuer,
      ...reason,
    ]);
    // Eleven minutes later, long before vouchers are due: from the same state, with the same server.
    const later = () => Date.now() + 660_000;
    let { stapler, close } = staplerOf('apache', later);
    // The coordinator asks the signer every 100 ms; a stapler keeps what it was told, hence a new one each time.
    await vi.waitUntil(
      async () => {
        close();
        ({ stapler, close } = staplerOf('apache', later));
        await stapler.round();
        return stapler.status.counts.requests > 0;
      },
      // No faster than a VA lets anybody ask.
      { timeout: 60_000, interval: 1_500 },
    );
    const [target] = stapler.status.targets;
    expect(
      vaNames
        .map((name) => target!.vas.get(name)!)
        .map(({ last, voucher }) => [last!.status, voucher !== undefined]),
    ).toEqual([
      ['refused (distrusted)', false],
      ['issued', true],
      ['issued', true],
    ]);
    expect(stapler.status.counts).toMatchObject({ requests: 1, renewedEarly: 1, reloads: 1 });
    close();
    const only = client({ choice: choice(1, 1, [{ vas: { in: ['DE'] } }]) });
    await vi.waitUntil(
      async () => (await connect(only, { port: ports.apache })).codes.includes('no-voucher'),
      {
        timeout: 60_000,
        interval: 50,
      },
    );
    expect((await connect(client(), { port: ports.apache })).codes).toEqual([]);
  }, 180_000);

  test('defaults of the policy are those that the proposal names', () => {
    expect(defaultPolicy).toMatchObject({
      mode: 'enforce',
      maxAgeSeconds: 86_400,
      choice: { choose: 3, accept: 1 },
    });
  });
}
