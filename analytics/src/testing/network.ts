import { type KeyObject, createHash, generateKeyPairSync } from 'node:crypto';
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { signObservation } from '@mecai/corroboration';
import {
  type Decision,
  KeyType,
  Observation,
  SignedObservation,
  inboxPrefix,
  natsPermissions,
  subjects,
} from '@mecai/proto';
import { testVa, testVoucher } from '@mecai/voucher/testing';
import { type NatsConnection, connect, nkeyAuthenticator, nkeys } from '@nats-io/transport-node';
import { type NatsServer, startNatsServer } from '../../../test/src/parts/nats-server.ts';

/** A nats-server with the users of a small network, and keys and certificates to fill it with observations. */
export interface TestNetwork {
  readonly nats: NatsServer;
  readonly registry: string;
  readonly seedFile: string;
  readonly keys: ReadonlyMap<string, KeyObject>;
  readonly certificates: readonly Buffer[];
  as(name: string): Promise<NatsConnection>;
}

export const agentNames = ['lima', 'oslo', 'tokyo'] as const;

const places = {
  lima: { city: 'Lima', country: 'PE', latitude: -12, longitude: -77, rir: 'lacnic', asn: 64_500 },
  oslo: { city: 'Oslo', country: 'NO', latitude: 60, longitude: 11, rir: 'ripencc', asn: 64_501 },
  tokyo: { city: 'Tokyo', country: 'JP', latitude: 36, longitude: 140, rir: 'apnic', asn: 64_502 },
};

export async function startNetwork(directory: string): Promise<TestNetwork> {
  const keys = new Map<string, KeyObject>();
  const agents = agentNames.map((name) => {
    const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    keys.set(name, privateKey);
    return {
      name,
      publicKey: publicKey.export({ format: 'der', type: 'spki' }).toString('base64'),
      ...places[name],
    };
  });
  const registry = join(directory, 'registry.json');
  writeFileSync(registry, JSON.stringify({ version: 1, agents }));

  const roles = {
    ...Object.fromEntries(agentNames.map((name) => [name, natsPermissions.agent(name)])),
    va1: natsPermissions.coordinator('va1'),
    analytics: natsPermissions.analytics('analytics'),
    archive: natsPermissions.analytics('archive'),
    operator: natsPermissions.operator,
  };
  const users = Object.entries(roles).map(([name, lists]) => ({ name, pair: nkeys.createUser(), ...lists }));
  const seeds = new Map(users.map(({ name, pair }) => [name, pair.getSeed()]));
  const seedFile = join(directory, 'analytics.seed');
  writeFileSync(seedFile, seeds.get('analytics')!);
  writeFileSync(join(directory, 'archive.seed'), seeds.get('archive')!);
  const nats = await startNatsServer({
    directory: join(directory, 'nats'),
    users: users.map(({ pair, ...user }) => ({ ...user, publicNkey: pair.getPublicKey() })),
  });
  return {
    nats,
    registry,
    seedFile,
    keys,
    certificates: makeCertificates(directory),
    as: (name) =>
      connect({
        servers: nats.url,
        authenticator: nkeyAuthenticator(seeds.get(name)),
        inboxPrefix: inboxPrefix(name),
        maxReconnectAttempts: -1,
        reconnectTimeWait: 50,
        // A server killed while it answers would be waited for as long; a busy machine answers late.
        timeout: 2000,
        waitOnFirstConnect: true,
      }),
  };
}

function makeCertificates(directory: string): Buffer[] {
  const key = ['ec', 'rsa'].map((kind) =>
    kind === 'ec' ? ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256'] : ['-newkey', 'rsa:2048'],
  );
  return key.map((options, i) => {
    const out = join(directory, `certificate-${i}.der`);
    const subject = [
      '-subj',
      `/O=Example, Inc./CN=site${i}.example`,
      '-addext',
      `subjectAltName=DNS:site${i}.example,DNS:*.site${i}.example,IP:192.0.2.1`,
    ];
    const all = [
      'req',
      '-x509',
      '-nodes',
      '-days',
      '30',
      ...options,
      ...subject,
      '-outform',
      'DER',
      '-keyout',
      join(directory, 'key.pem'),
      '-out',
      out,
    ];
    execFileSync('openssl', all, { stdio: 'ignore' });
    return readFileSync(out);
  });
}

export const nonceOf = (n: number): Buffer => createHash('sha256').update(`nonce ${n}`).digest();

/** The `n`-th observation of a made-up series; every tenth failed. */
export function makeObservation(
  { certificates }: Pick<TestNetwork, 'certificates'>,
  n: number,
  agent: string,
  observedAt: number,
): Observation {
  const failed = n % 10 === 9;
  return {
    nonce: nonceOf(n),
    agent,
    target: {
      address: Uint8Array.of(192, 0, 2, n % 256),
      port: 443,
      serverName: `site${n % 50}.example`,
      startTls: '',
      keyType: KeyType.KEY_TYPE_ECDSA,
    },
    observedAt,
    chain: failed ? [] : [certificates[n % certificates.length]!],
    possessionProven: !failed,
    tls: failed
      ? undefined
      : { version: 0x0304, cipherSuite: 0x1301, group: 29, signatureScheme: 0x0403, alpn: 'h2' },
    ocsp: [],
    sctLists: [],
    timings: { connect: 1000 + n, firstByte: 2000, proof: 3000, end: 4000 },
    failure: failed ? { class: 'alert', alert: 40, detail: 'handshake_failure' } : undefined,
  };
}

export const encodeObservation = (observation: Observation, key: KeyObject): Uint8Array =>
  SignedObservation.encode(signObservation(observation, key)).finish();

export const subjectOf = (agent: string): string => subjects.observation(agent, 'va1');

const voucher = testVa().issue(testVoucher);

export const makeDecision = (n: number, decidedAt: number): Decision => ({
  nonce: nonceOf(n),
  decidedAt,
  coordinator: 'va1',
  targets: [
    {
      address: Uint8Array.of(192, 0, 2, 1),
      port: 443,
      serverName: 'site1.example',
      startTls: '',
      keyType: KeyType.KEY_TYPE_RSA,
    },
  ],
  chain: [nonceOf(1), nonceOf(2)],
  status: 'issued',
  reason: '',
  detail: '',
  perspectives: [
    { agent: 'lima', address: Uint8Array.of(192, 0, 2, 1), verdict: 'match', code: '' },
    { agent: 'oslo', address: Uint8Array.of(192, 0, 2, 1), verdict: 'inconclusive', code: 'refused' },
  ],
  voucher,
  requester: Uint8Array.of(198, 51, 100, 7),
  authenticated: true,
  auditSequence: n,
  signer: 'spiffe://mecai.test/signer',
});
