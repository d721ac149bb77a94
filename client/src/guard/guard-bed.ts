/** Guards, servers and vouchers for the tests of guarded connections. */
import { bundleMediaType, encodeVoucherBundle, type Voucher } from '@mecai/voucher';
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { afterEach } from 'vitest';
import { type ServerFailure } from '../checker.ts';
import { ClientError } from '../error.ts';
import { pem } from '../test-va-server.ts';
import { startServer, type TestServer, type TestServerOptions } from '../testing/tls-server.ts';
import {
  chainOf,
  listedVa,
  listOf,
  serverCertificate,
  voucherFor,
  webIntermediate,
  webRoot,
} from '../testing/world.ts';
import { Guard, type GuardOptions, type Outcome } from './guard.ts';
import { type ClientPolicy, defaultPolicy } from './policy.ts';

const start = new Date();
export const [one, two, three, four] = [1, 2, 3, 4].map((i) => listedVa(i, {}, start));
export const list = listOf([one!, two!, three!], { expires: new Date(start.getTime() + 86_400_000) });
const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
export const ecdsaLeaf = serverCertificate();
export const rsaLeaf = serverCertificate({ key: rsa, serial: 10 });
export const ca = pem(webRoot.der);

export const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});
export async function serve(options: TestServerOptions = {}): Promise<TestServer> {
  const server = await startServer({ certificates: [{ leaf: ecdsaLeaf }], ...options });
  closing.push(() => server.close());
  return server;
}
export const bundled =
  (...vouchers: readonly Uint8Array[]): NonNullable<TestServerOptions['bundle']> =>
  (_, response) => {
    const file = Buffer.from(encodeVoucherBundle(vouchers));
    response.writeHead(200, { 'content-type': bundleMediaType, 'content-length': file.length }).end(file);
  };

export const voucher = (port: number, va = one!, leaf = ecdsaLeaf, fields: Partial<Voucher> = {}) => {
  const at = new Date(Math.floor(Date.now() / 1000) * 1000);
  return va.issue(
    voucherFor({ chain: chainOf(leaf, webIntermediate), address: '127.0.0.1', port, at }, fields),
  );
};

export function guardOf(policy: Partial<ClientPolicy> = {}, options: Partial<GuardOptions> = {}) {
  const outcomes: Outcome[] = [];
  const guard = new Guard({
    list,
    policy: { ...defaultPolicy, ...policy },
    now: () => new Date(),
    random: randomBytes,
    onOutcome: (outcome) => outcomes.push(outcome),
    ...options,
  });
  return { guard, outcomes };
}
export const place = (port: number) => ({ host: '127.0.0.1', port, servername: 'www.example.org', ca });

export async function failures(action: Promise<unknown>): Promise<string[]> {
  try {
    await action;
    return [];
  } catch (error) {
    if (!(error instanceof ClientError)) throw error;
    if (error.code !== 'refused') return [`ClientError ${error.code}`];
    return error.failures.map(({ code }: ServerFailure) => code);
  }
}
export async function connected(guard: Guard, port: number, more = {}): Promise<Outcome> {
  const { socket, outcome } = await guard.connect({ ...place(port), ...more });
  socket.destroy();
  return outcome!;
}
