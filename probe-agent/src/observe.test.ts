import { randomBytes } from 'node:crypto';
import { connect } from 'node:tls';
import { once } from 'node:events';
import { parsePrefix } from '@mecai/addresses';
import { verifyObservationSignature } from '@mecai/corroboration';
import { KeyType, Observation, type Target, Task } from '@mecai/proto';
import { type ProbeResult, type Prober, probe } from '@mecai/tls-probe';
import { testKey } from '@mecai/voucher/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Answer, Observer, type ObserverParts, type ProbeRules } from './observe.ts';
import { type TestServer, ecdsa, rsa, silentServer, tlsServer } from './testing/servers.ts';

const key = testKey();
const loopback = [parsePrefix('127.0.0.0/8')];
const target = (port: number, rest: Partial<Target> = {}): Target => ({
  address: Uint8Array.of(127, 0, 0, 1),
  port,
  serverName: 'www.example.org',
  startTls: '',
  keyType: KeyType.KEY_TYPE_UNSPECIFIED,
  ...rest,
});
const task = (targets: Target[], rest: Partial<Task> = {}): Task => ({
  nonce: randomBytes(32),
  targets,
  timeoutMs: 5_000,
  coordinator: 'va1',
  ...rest,
});
const observer = ({ prober = probe, now, ...rules }: Partial<ObserverParts & ProbeRules> = {}) =>
  new Observer({
    name: 'oslo',
    key: key.privateKey,
    prober,
    now: now ?? (() => 1_700_000_000_000),
    rules: { allowedTargets: loopback, maxInFlight: 100, ...rules },
  });
const seen: ProbeResult = {
  chain: [Uint8Array.of(1)],
  possessionProven: true,
  ocspResponses: [],
  sctLists: [],
  extensions: new Map(),
  timings: { end: 1 },
};
/** Sees something at the first address only. */
const first: Prober = ({ address }) =>
  Promise.resolve(address === '127.0.0.1' ? seen : { ...seen, chain: [], possessionProven: false });
const never: Prober = () => Promise.reject(new Error('nobody may probe here'));
const answered = (one: Observer, what: Task) => Promise.all(one.answer(Task.encode(what).finish()));

async function observed(one: Observer, what: Task): Promise<Observation[]> {
  return (await answered(one, what)).map(({ signed }) => Observation.decode(signed.observation));
}

describe('an observation', () => {
  let both: TestServer;
  beforeAll(async () => {
    both = await tlsServer([ecdsa, rsa]);
  });
  afterAll(() => both.close());

  it('is signed, and carries the task’s nonce and target', async () => {
    const what = task([target(both.port)]);
    const [answer] = await answered(observer(), what);
    expect(answer!.coordinator).toBe('va1');
    expect(verifyObservationSignature(answer!.signed, key.publicKey)).toBe(true);
    const observation = Observation.decode(answer!.signed.observation);
    expect(Buffer.from(observation.nonce)).toEqual(what.nonce);
    expect(observation).toMatchObject({
      agent: 'oslo',
      observedAt: 1_700_000_000_000,
      possessionProven: true,
    });
    expect(observation.target).toMatchObject({ port: both.port, serverName: 'www.example.org' });
    expect(observation.failure).toBeUndefined();
    expect(observation.timings!.end).toBeGreaterThan(observation.timings!.connect);
  });

  it.each([
    ['ECDSA', KeyType.KEY_TYPE_ECDSA, ecdsa, 'ECDSA+SHA256'],
    ['RSA', KeyType.KEY_TYPE_RSA, rsa, 'RSA-PSS+SHA256'],
  ])(
    'of a server with two certificates shows the %s one when asked for it, as node:tls does',
    async (_, keyType, certificate, sigalgs) => {
      const [observation] = await observed(observer(), task([target(both.port, { keyType })]));
      const oracle = connect({
        port: both.port,
        servername: 'www.example.org',
        rejectUnauthorized: false,
        sigalgs,
      });
      await once(oracle, 'secureConnect');
      const { raw } = oracle.getPeerCertificate();
      const [version, cipher] = [oracle.getProtocol(), oracle.getCipher().standardName];
      oracle.destroy();
      expect(raw).toEqual(Buffer.from(certificate.der));
      expect(observation!.chain.map((der) => Buffer.from(der))).toEqual([raw]);
      expect([version, observation!.tls!.version]).toEqual(['TLSv1.3', 0x0304]);
      expect(cipher).toMatch(/^TLS_/);
      expect(observation!.possessionProven).toBe(true);
    },
  );

  it.each([
    ['TLSv1.2', 0x0303],
    ['TLSv1.3', 0x0304],
  ] as const)('of a server that speaks only %s says so', async (version, code) => {
    const server = await tlsServer([ecdsa], { minVersion: version, maxVersion: version });
    const [observation] = await observed(observer(), task([target(server.port)]));
    await server.close();
    expect(observation).toMatchObject({ possessionProven: true, tls: { version: code } });
  });

  it('comes from the address to bind', async () => {
    const one = observer({ bindIpv4: '127.10.9.8' });
    await observed(one, task([target(both.port)]));
    expect(both.peers.at(-1)).toBe('127.10.9.8');
  });

  it('of a port where nobody listens is a failure with a class', async () => {
    const gone = await silentServer();
    await gone.close();
    const [observation] = await observed(observer(), task([target(gone.port)]));
    expect(observation).toMatchObject({ chain: [], possessionProven: false, failure: { class: 'refused' } });
  });

  it.each([
    ['', 'timeout-handshake'],
    ['smtp', 'timeout-preamble'],
  ])('of a silent server (STARTTLS %j) takes no longer than the task allows', async (startTls, cause) => {
    const server = await silentServer();
    const begun = performance.now();
    const [observation] = await observed(
      observer(),
      task([target(server.port, { startTls })], { timeoutMs: 600 }),
    );
    expect(performance.now() - begun).toBeLessThan(600);
    await server.close();
    expect(observation!.failure).toMatchObject({ class: cause });
  });

  it('the phases of a probe share the task’s time, all of it', async () => {
    const limits: unknown[] = [];
    const prober: Prober = (_, options) => {
      limits.push(options?.limits);
      return Promise.resolve(seen);
    };
    await observed(
      observer({ prober }),
      task([target(1), target(1, { startTls: 'imap' })], { timeoutMs: 6_000 }),
    );
    expect(limits).toEqual([
      { connectMs: 3_000, preambleMs: 3_000, handshakeMs: 3_000 },
      { connectMs: 2_000, preambleMs: 2_000, handshakeMs: 2_000 },
    ]);
  });

  it('carries each SCT once: lists of the TLS extension apart, the others where they were found', async () => {
    const [chain, ocsp, list] = [Uint8Array.of(1), Uint8Array.of(2), Uint8Array.of(3)];
    const prober: Prober = () =>
      Promise.resolve({
        ...seen,
        chain: [chain],
        ocspResponses: [{ certificate: 0, der: ocsp }],
        sctLists: (['certificate', 'tls', 'ocsp'] as const).map((source) => ({
          source,
          certificate: 0,
          list,
        })),
      });
    const [observation] = await observed(observer({ prober }), task([target(1)]));
    const bytes = (octets: Uint8Array) => [...octets];
    expect(observation!.sctLists.map(bytes)).toEqual([[3]]);
    expect(observation!.chain.map(bytes)).toEqual([[1]]);
    expect(observation!.ocsp.map(({ response }) => bytes(response))).toEqual([[2]]);
  });

  it('is made of each address', async () => {
    const found = await observed(
      observer({ prober: first }),
      task([target(1), target(1, { address: Uint8Array.of(127, 0, 0, 2) })]),
    );
    expect(found.map(({ possessionProven }) => possessionProven)).toEqual([true, false]);
  });

  it('is made even if the prober breaks', async () => {
    const [observation] = await observed(observer({ prober: never }), task([target(1)]));
    expect(observation!.failure).toMatchObject({ class: 'local-error', detail: 'nobody may probe here' });
  });
});

describe('asked again', () => {
  it('an agent says the same, octet for octet, and does not look again', async () => {
    let [looked, time] = [0, 1_700_000_000_000];
    const prober: Prober = () => {
      looked++;
      return Promise.resolve({ ...seen, chain: [randomBytes(8)] });
    };
    const one = observer({ prober, now: () => time++ });
    const what = task([target(1), target(2)]);
    const first = await answered(one, what);
    const again: Omit<Answer, 'observation'>[] = [];
    const bytes = Task.encode(what).finish();
    expect(one.answer(bytes, { repeat: (answer) => again.push(answer) })).toEqual([]);
    expect(again).toEqual(
      first.map(({ coordinator, campaign, signed }) => ({ coordinator, campaign, signed })),
    );
    expect(looked).toBe(2);
    // Another nonce is another question.
    await answered(one, task([target(1)]));
    expect(looked).toBe(3);
  });

  it('while it looks, it goes on looking', async () => {
    const end = Promise.withResolvers<ProbeResult>();
    const one = observer({ prober: () => end.promise, maxInFlight: 1 });
    const bytes = Task.encode(task([target(1)])).finish();
    const [first] = one.answer(bytes);
    expect(one.answer(bytes, { repeat: () => expect.unreachable() })).toEqual([]);
    expect(one.inFlight).toBe(1);
    end.resolve(seen);
    expect((await first!).observation.failure).toBeUndefined();
  });

  it('under the nonce of another task, it says nothing', async () => {
    const one = observer({ prober: first });
    const what = task([target(1)]);
    await answered(one, what);
    const other = { ...what, timeoutMs: what.timeoutMs - 1 };
    expect(one.answer(Task.encode(other).finish(), { repeat: () => expect.unreachable() })).toEqual([]);
  });
});

describe('an agent refuses', () => {
  it.each([
    ['127.0.0.1', Uint8Array.of(127, 0, 0, 1)],
    ['10.0.0.1', Uint8Array.of(10, 0, 0, 1)],
    ['169.254.169.254', Uint8Array.of(169, 254, 169, 254)],
    ['::1', Uint8Array.of(...Array<number>(15).fill(0), 1)],
    ['::ffff:10.0.0.1', Uint8Array.of(...Array<number>(10).fill(0), 0xff, 0xff, 10, 0, 0, 1)],
  ])('to probe %s, whoever asks', async (_, address) => {
    const one = observer({ prober: never, allowedTargets: [] });
    const [observation] = await observed(one, task([target(443, { address })]));
    expect(observation).toMatchObject({ chain: [], failure: { class: 'forbidden-target' } });
  });

  it('more probes than it can carry, and takes new ones when the old are done', async () => {
    const end = Promise.withResolvers<ProbeResult>();
    const one = observer({ prober: () => end.promise, maxInFlight: 2 });
    const first = observed(one, task([target(1), target(2)]));
    expect(one.inFlight).toBe(2);
    const [third] = await observed(one, task([target(3)]));
    expect(third!.failure).toMatchObject({ class: 'overloaded', detail: '2 probes are in flight' });
    end.resolve(seen);
    expect((await first).map(({ failure }) => failure)).toEqual([undefined, undefined]);
    expect(one.inFlight).toBe(0);
  });

  describe('what campaigns ask', () => {
    const campaigns = { inFlight: 2, perSecond: 10 };
    const ask = async (one: Observer, port: number) => {
      const answers = one.answer(Task.encode(task([target(port)])).finish(), { campaign: true });
      const [answer] = await Promise.all(answers);
      return { ...answer, observation: Observation.decode(answer!.signed.observation) };
    };

    it('beyond their share of probes in flight', async () => {
      const end = Promise.withResolvers<ProbeResult>();
      const one = observer({ prober: () => end.promise, campaigns });
      const taken = [ask(one, 1), ask(one, 2)];
      expect((await ask(one, 3)).observation.failure).toMatchObject({ class: 'overloaded' });
      // Those of coordinators are none of it.
      expect(one.inFlight).toBe(0);
      end.resolve(seen);
      expect((await Promise.all(taken)).map(({ campaign }) => campaign)).toEqual([true, true]);
    });

    it('while coordinators need more than half of it', async () => {
      const end = Promise.withResolvers<ProbeResult>();
      const one = observer({ prober: () => end.promise, maxInFlight: 3, campaigns });
      const taken = observed(one, task([target(1), target(2)]));
      const { observation } = await ask(one, 3);
      expect(observation.failure).toMatchObject({ detail: 'coordinators need the agent' });
      end.resolve(seen);
      await taken;
    });

    it('beyond their rate, for a while', async () => {
      let time = 1_700_000_000_000;
      const one = observer({ prober: first, campaigns, now: () => time });
      const failures = async () => {
        const found = [];
        for (let i = 0; i < 12; i++) found.push((await ask(one, 1)).observation.failure?.class);
        return found.filter((failure) => failure === undefined).length;
      };
      expect(await failures()).toBe(11);
      time += 500;
      expect(await failures()).toBe(5);
    });

    it('at all, where nothing is set aside for it', async () => {
      expect((await ask(observer({ prober: never }), 1)).observation.failure?.class).toBe('overloaded');
    });
  });

  const bad: readonly (readonly [string, Partial<Task>])[] = [
    ['a short nonce', { nonce: randomBytes(31) }],
    ['no target', { targets: [] }],
    ['three targets', { targets: [target(1), target(2), target(3)] }],
    ['an address of five octets', { targets: [target(1, { address: new Uint8Array(5) })] }],
    ['port 0', { targets: [target(0)] }],
    ['a port beyond the last', { targets: [target(65_536)] }],
    ['a long name', { targets: [target(1, { serverName: 'a'.repeat(254) })] }],
    ['unknown STARTTLS', { targets: [target(1, { startTls: 'gopher' })] }],
    ['no time', { timeoutMs: 0 }],
    ['too much time', { timeoutMs: 60_001 }],
    ['a coordinator that would be a wildcard', { coordinator: '*' }],
    ['a coordinator of two tokens', { coordinator: 'a.b' }],
  ];
  it.each(bad)('a task with %s, without a word', async (_, rest) => {
    expect(observer({ prober: never }).answer(Task.encode(task([target(1)], rest)).finish())).toEqual([]);
  });

  it('garbage', () => {
    expect(observer({ prober: never }).answer(Uint8Array.of(0xff, 1, 2))).toEqual([]);
    expect(observer({ prober: never }).answer(new Uint8Array())).toEqual([]);
  });
});

it('is idle once all answers are given', async () => {
  const end = Promise.withResolvers<ProbeResult>();
  const one = observer({ prober: () => end.promise });
  await one.idle();
  const answer = observed(one, task([target(1)]));
  let idle = false;
  const waiting = one.idle().then(() => (idle = true));
  await new Promise((resolve) => setImmediate(resolve));
  expect(idle).toBe(false);
  end.resolve(seen);
  await waiting;
  expect(await answer).toHaveLength(1);
});
