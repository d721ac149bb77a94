/**
 * `node test/src/bench/client.ts [--json]`: what a second opinion costs a client. Microseconds of CPU a check, beside
 * pkijs verifying the same voucher; round trips that each route adds to a connection; size of the library.
 */
import { Checker, type Choice, defaultPolicy, Guard, type Handshake, type VaList } from '@mecai/client';
import { writePackage } from '@mecai/client/publish';
import {
  chainOf,
  listedVa,
  listOf,
  serverCertificate,
  startServer,
  voucherFor,
  webIntermediate,
  webRoot,
} from '@mecai/client/testing';
import { probe } from '@mecai/tls-probe';
import { encodeVoucherBundle, verifyVoucher, VoucherVerifier } from '@mecai/voucher';
import { toPem } from '@mecai/pki';
import { generateKeyPairSync, randomBytes, sign, verify } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import * as pkijs from 'pkijs';
import { inTurns, median, reporter } from './figures.ts';

const report = reporter('client');
const rounds = 5;
const now = new Date(Math.floor(Date.now() / 1000) * 1000);
const vas = [1, 2, 3].map((i) => listedVa(i, {}, now));
const list: VaList = listOf(vas, { expires: new Date(now.getTime() + 86_400_000) });
const [va] = vas as [(typeof vas)[number]];
const leaf = serverCertificate();
const chain = chainOf(leaf, webIntermediate);
const handshake: Handshake = { chain, address: '127.0.0.1', port: 443 };
const voucher = va.issue(voucherFor({ ...handshake, at: now }));
const choice: Choice = { list, vas: list.vas, accept: 1, perspectives: [{ notIn: ['CN'], atLeast: 3 }] };
const options = { list, trustContext: 'MOZ', quorum: { matches: 4, regions: 2, networks: 2 } };
const candidates = [{ route: 'ocsp', voucher }] as const;

function check(checker: Checker): void {
  const { failures } = checker.check(handshake, candidates, choice, now);
  if (failures.length > 0) throw new Error(failures[0]!.message);
}

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

/** Microseconds of CPU an operation, all threads, over about that many milliseconds, warmed up. */
async function cpu(milliseconds: number, operation: () => unknown): Promise<number> {
  // Nobody pays for what another has left behind.
  collectGarbage();
  const until = async (limit: number) => {
    const [start, used] = [performance.now(), process.cpuUsage()];
    let count = 0;
    while (performance.now() - start < limit) {
      for (let i = 0; i < 8; i++) await operation();
      count += 8;
    }
    const { user, system } = process.cpuUsage(used);
    return (user + system) / count;
  };
  await until(milliseconds / 4);
  return until(milliseconds);
}

const root = pkijs.Certificate.fromBER(va.root.der);
async function verifyWithPkijs(): Promise<void> {
  const data = new pkijs.SignedData({ schema: pkijs.ContentInfo.fromBER(voucher).content });
  // pkijs takes the OCSP response among the CRLs for a CRL of its own making; it is left out.
  data.crls = [];
  const verified = await data.verify({ signer: 0, checkChain: true, trustedCerts: [root], checkDate: now });
  if (!verified) throw new Error('pkijs does not verify');
}

const pair = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const attributes = randomBytes(200);
const signature = sign('sha256', attributes, pair.privateKey);

const kept = new Checker(options);
const roots = list.vas.flatMap((one) => one.roots);
const verifier = new VoucherVerifier({ roots });
const measured = await inTurns(rounds, {
  verified: () => cpu(300, () => verifier.verify(voucher, now)),
  signature: () => cpu(300, () => verify('sha256', attributes, pair.publicKey, signature)),
  verifiedCold: () => cpu(300, () => verifyVoucher(voucher, { roots, now })),
  checked: () => cpu(300, () => check(kept)),
  checkedCold: () => cpu(300, () => check(new Checker(options))),
  pkijs: () => cpu(300, verifyWithPkijs),
});
const peer = { name: 'pkijs, without the status of the VA', value: measured.pkijs };
report('voucher verified, issuer cached', measured.verified, 'µs of CPU', peer);
report('of that, its one signature', measured.signature, 'µs of CPU');
report('voucher verified, cold', measured.verifiedCold, 'µs of CPU', peer);
report('server checked by it: chain, address, choice, quorum, revocation', measured.checked, 'µs of CPU');
report('the same cold', measured.checkedCold, 'µs of CPU');

// How often the client has to wait for the server, seen on the wire between them.
interface Relay {
  readonly port: number;
  /** Turns from client to server since the last call, over all connections. */
  turns(): number;
  close(): void;
}

async function relayTo(port: number): Promise<Relay> {
  let turns = 0;
  const sockets = new Set<Socket>();
  const server: Server = createServer((near) => {
    const far = connect(port, '127.0.0.1');
    let speaker: 'client' | 'server' = 'server';
    near.on('data', (chunk) => {
      if (speaker === 'server') turns++;
      speaker = 'client';
      far.write(chunk);
    });
    far.on('data', (chunk) => {
      speaker = 'server';
      near.write(chunk);
    });
    for (const socket of [near, far]) {
      sockets.add(socket);
      socket.on('error', () => undefined).on('close', () => [near, far].map((one) => one.destroy()));
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('not listening');
  return {
    port: address.port,
    turns: () => {
      const seen = turns;
      turns = 0;
      return seen;
    },
    close: () => {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}

const server = await startServer({ certificates: [{ leaf }] });
const relay = await relayTo(server.port);
const ca = toPem(webRoot.der, 'CERTIFICATE');
const place = { host: '127.0.0.1', port: relay.port, servername: 'www.example.org', ca };
const vouched = va.issue(voucherFor({ chain, address: '127.0.0.1', port: relay.port, at: now }));
const guardWith = (chosen: VaList = list) =>
  new Guard({ list: chosen, policy: defaultPolicy, now: () => new Date(), random: randomBytes });
const listOfOne = listOf([va], { expires: list.expires });

/** A byte of application data and back, so that the end of the handshake is not in doubt. */
const answered = (socket: ReturnType<typeof connectTls>) =>
  new Promise<void>((resolve, reject) => {
    socket.once('data', () => resolve()).once('error', reject);
    socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
  });
async function plainly(): Promise<number> {
  const socket = connectTls({ ...place, requestOCSP: true });
  await new Promise((resolve, reject) => socket.once('secureConnect', resolve).once('error', reject));
  await answered(socket);
  socket.destroy();
  return relay.turns();
}
async function guarded(guard: Guard): Promise<number> {
  const { socket } = await guard.connect({ ...place, http: true });
  await answered(socket);
  socket.destroy();
  return relay.turns();
}

server.show({ certificates: [{ leaf, slot: [vouched] }] });
const slot = guardWith(listOfOne);
/** Session tickets come when they like, and may look like a turn. */
async function usually(action: () => Promise<number>): Promise<number> {
  const seen: number[] = [];
  for (let i = 0; i < 9; i++) seen.push(await action());
  return median(seen);
}
const plain = await usually(plainly);
const inSlot = await usually(() => guarded(slot));
server.show({ certificates: [{ leaf }] });
const file = Buffer.from(encodeVoucherBundle([vouched]));
server.show({
  bundle: (_, response) => void response.writeHead(200, { 'content-length': file.length }).end(file),
});
const bundled = guardWith(listOfOne);
const byFile = await guarded(bundled);
const again = await usually(() => guarded(bundled));
const target = { address: '127.0.0.1', port: relay.port, serverName: 'www.example.org' };
const probed = (extensions: readonly number[]) => async (): Promise<number> => {
  await probe(target, { extensions });
  return relay.turns();
};
const bare = await usually(probed([]));
const extended = await usually(probed(list.vas.map(({ codepoint }) => codepoint)));
report('round trips added, OCSP slot', inSlot - plain, 'round trips');
report('round trips added, TLS extensions in a stack that can ask for them', extended - bare, 'round trips');
report("round trips added, server's file, first connection", byFile - plain, 'round trips');
report("round trips added, server's file, those after it", again - plain, 'round trips');

server.show({ certificates: [{ leaf, slot: [vouched] }] });
const milliseconds = async (action: () => Promise<number>) => {
  const start = performance.now();
  for (let i = 0; i < 20; i++) await action();
  return (performance.now() - start) / 20;
};
const times = await inTurns(rounds, {
  plain: () => milliseconds(plainly),
  slot: () => milliseconds(() => guarded(slot)),
});
report('connection and first answer, with a voucher in the OCSP slot', times.slot, 'ms', {
  name: 'the same without a check',
  value: median([times.plain]),
});
relay.close();
server.close();

const directory = mkdtempSync(join(tmpdir(), 'mecai-bench-'));
const sizes = await writePackage(directory);
rmSync(directory, { recursive: true });
report('library, one file of JavaScript', sizes.library, 'octets');
report('the same minified', sizes.minified, 'octets');
report('dependencies', sizes.dependencies, 'packages');
