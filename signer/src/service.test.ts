import { type ServiceError, credentials, status } from '@grpc/grpc-js';
import { connect as connectHttp2 } from 'node:http2';
import {
  type DescribeResponse,
  IssueRequest,
  IssueResponse,
  RefusalCode,
  SignerServiceClient,
  type Subject,
} from '@mecai/proto/signer';
import { type Logger, Svid, createLogger } from '@mecai/runtime';
import { parseSignedVoucher } from '@mecai/voucher';
import { type TestCertificate } from '@mecai/voucher/testing';
import { afterEach, describe, expect, it } from 'vitest';
import { RefusedError } from './refusal.ts';
import { type SignerService, startService } from './service.ts';
import { keyPem, pem, svid, testCa } from './testing/certificates.ts';
import { issuing } from './testing/issuing.ts';
import { operatorOf } from './testing/operator.ts';
import { type World, coordinator, createWorld, observe, subjectOf, va } from './testing/world.ts';

const internalCa = testCa('Internal CA');
const strangeCa = testCa('Internal CA');
const own = svid(internalCa, 'spiffe://mecai.test/signer');
const second = 'spiffe://mecai.test/coordinator-2';
const known = svid(internalCa, coordinator);
const log: Logger = createLogger('signer', 'silent');
const policy = {
  perspectives: 6,
  minRegions: 2,
  minNetworks: 2,
  minDistanceKm: 500,
  matchIntermediates: true,
};
const description: DescribeResponse = {
  certificates: [Buffer.from(va.certificate.der)],
  registryVersion: 3,
  trustContexts: ['MOZ'],
  policy,
  links: [],
  renewals: [],
};

let allowed = [coordinator, second];
const measured: { took: number; step: string; outcome: string }[] = [];
let failures = 0;
const stops: (() => unknown)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0).toReversed()) await stop();
  allowed = [coordinator, second];
});

async function serve(world: World = createWorld()): Promise<SignerService> {
  const service = await startService({
    listen: '127.0.0.1:0',
    credentials: Svid.fixed({
      certificate: Buffer.from(pem(own)),
      key: Buffer.from(keyPem(own)),
      ca: Buffer.from(pem(internalCa)),
    }).serverCredentials(),
    terms: () => ({ coordinators: allowed, issuance: world.issuance, operators: [], crlOctets: 1_048_576 }),
    operator: operatorOf(world),
    measures: {
      request: (took, labels) => measured.push({ took, ...labels }),
      failed: () => failures++,
    },
    describe: () => description,
    directory: (version) => (version < 2 ? Buffer.from('signed directory') : undefined),
    log,
  });
  stops.push(() => service.close());
  return service;
}

/** A client that shows this certificate; none at all if it is absent. */
function connect({ port }: SignerService, certificate?: TestCertificate): SignerServiceClient {
  const secure = certificate
    ? credentials.createSsl(
        Buffer.from(pem(internalCa)),
        Buffer.from(keyPem(certificate)),
        Buffer.from(pem(certificate)),
        { checkServerIdentity: () => undefined },
      )
    : credentials.createSsl(Buffer.from(pem(internalCa)), null, null, {
        checkServerIdentity: () => undefined,
      });
  const client = new SignerServiceClient(`127.0.0.1:${port}`, secure, {
    'grpc.ssl_target_name_override': 'signer',
    'grpc.max_send_message_length': -1,
    'grpc.enable_retries': 0,
  });
  stops.push(() => client.close());
  return client;
}

const at = (n: number): Subject => subjectOf({ addresses: [Uint8Array.of(1, 2, n >> 8, n & 255)] });
const describing = (client: SignerServiceClient) =>
  new Promise<DescribeResponse | ServiceError>((resolve) =>
    client.describe({}, (error, response) => resolve(error ?? response)),
  );

describe('the perspective directory', () => {
  const ask = (client: SignerServiceClient, version: number) =>
    new Promise<string | number>((resolve) => {
      client.getDirectory({ version }, (error, response) =>
        resolve(error ? error.code : response.document.toString()),
      );
    });

  it('goes to coordinators, by its version', async () => {
    const service = await serve();
    const client = connect(service, known);
    expect(await ask(client, 0)).toBe('signed directory');
    expect(await ask(client, 2)).toBe(status.NOT_FOUND);
    const stranger = connect(service, svid(internalCa, 'spiffe://mecai.test/agent'));
    expect(await ask(stranger, 0)).toBe(status.PERMISSION_DENIED);
  });
});

describe('who may ask', () => {
  const late = (issuer: TestCertificate) => svid(issuer, coordinator);
  it.each<[string, () => TestCertificate | undefined, number]>([
    ['nobody without a certificate', () => undefined, status.UNAVAILABLE],
    ['nobody with a certificate of another CA of the same name', () => late(strangeCa), status.UNAVAILABLE],
    [
      'nobody who is not on the list',
      () => svid(internalCa, 'spiffe://mecai.test/agent'),
      status.PERMISSION_DENIED,
    ],
    [
      'nobody whose name begins like one on the list',
      () => svid(internalCa, `${coordinator}0`),
      status.PERMISSION_DENIED,
    ],
    ['nobody below one on the list', () => svid(internalCa, `${coordinator}/x`), status.PERMISSION_DENIED],
    ['nobody in capitals', () => svid(internalCa, coordinator.toUpperCase()), status.PERMISSION_DENIED],
    ['nobody with two names', () => svid(internalCa, coordinator, second), status.PERMISSION_DENIED],
    [
      'nobody with one name twice',
      () => svid(internalCa, coordinator, coordinator),
      status.PERMISSION_DENIED,
    ],
    ['nobody without a name', () => svid(internalCa), status.PERMISSION_DENIED],
    ['not the signer itself', () => own, status.PERMISSION_DENIED],
  ])('%s', async (_, certificate, code) => {
    const world = createWorld();
    const client = connect(await serve(world), certificate());
    const { ended, stream, answers } = issuing(client);
    stream.write({ id: 1, step: { $case: 'draw', draw: { subject: subjectOf() } } });
    expect((await ended)?.code).toBe(code);
    expect(await describing(client)).toMatchObject({ code });
    expect(answers.size).toBe(0);
    expect(world.parts.draws.size).toBe(0);
  });

  it('coordinators on the list, each under its own name', async () => {
    const world = createWorld();
    const service = await serve(world);
    const first = issuing(connect(service, known));
    const other = issuing(connect(service, svid(internalCa, second)));
    const drawn = await first.draw(1);
    if (drawn.$case !== 'drawn') throw new Error(drawn.$case);
    const { nonce, agents } = drawn.drawn;
    const evidence = {
      id: 2,
      step: {
        $case: 'evidence' as const,
        evidence: { nonce, observations: agents.map((agent) => observe(agent, drawn.drawn)) },
      },
    };
    other.stream.write(evidence);
    expect(await other.answer(2)).toMatchObject({
      $case: 'refused',
      refused: { code: RefusalCode.REFUSAL_CODE_UNKNOWN_DRAW },
    });
    first.stream.write(evidence);
    expect(await first.answer(2)).toMatchObject({ $case: 'issued', issued: { auditSequence: 1 } });
  });

  it('describe tells what the signer signs with', async () => {
    expect(await describing(connect(await serve(), known))).toEqual(description);
  });
});

describe('a stream', () => {
  it('gives a voucher', async () => {
    const step = await issuing(connect(await serve(), known)).whole(1);
    if (step.$case !== 'issued') throw new Error(step.$case);
    expect(parseSignedVoucher(step.issued.voucher).voucher.port).toBe(443);
  });

  it('takes many requests at once, of two coordinators, and mixes none up', async () => {
    const service = await serve();
    const both = [issuing(connect(service, known)), issuing(connect(service, svid(internalCa, second)))];
    const ports = await Promise.all(
      both.flatMap((one, which) =>
        Array.from({ length: 100 }, async (_, i) => {
          const step = await one.whole(i + 1, { ...at(i), port: 1000 * (which + 1) + i });
          return step.$case === 'issued' ? parseSignedVoucher(step.issued.voucher).voucher.port : step.$case;
        }),
      ),
    );
    expect(ports).toEqual(
      both.flatMap((_, which) => Array.from({ length: 100 }, (__, i) => 1000 * (which + 1) + i)),
    );
  });

  it('goes on after requests that make no sense', async () => {
    const one = issuing(connect(await serve(), known));
    const malformed = { $case: 'refused', refused: { code: RefusalCode.REFUSAL_CODE_MALFORMED } };
    one.stream.write({ id: 1, step: undefined });
    one.stream.write({ id: 2, step: { $case: 'draw', draw: { subject: undefined } } });
    one.stream.write({
      id: 3,
      step: { $case: 'evidence', evidence: { nonce: new Uint8Array(), observations: [] } },
    });
    expect(await one.answer(1)).toMatchObject(malformed);
    expect(await one.answer(2)).toMatchObject(malformed);
    expect(await one.answer(3)).toMatchObject({ refused: { code: RefusalCode.REFUSAL_CODE_UNKNOWN_DRAW } });
    expect((await one.whole(4)).$case).toBe('issued');
  });

  it('tells a fault of its own only as such', async () => {
    const world = createWorld({
      chainPolicy: {
        assess: () => {
          throw new Error('secret detail');
        },
      },
    });
    const one = issuing(connect(await serve(world), known));
    expect(await one.draw(1)).toEqual({
      $case: 'refused',
      refused: { code: RefusalCode.REFUSAL_CODE_INTERNAL, detail: 'internal error', faults: [] },
    });
  });

  /** Sends octets as a message of the issue call. */
  function raw(client: SignerServiceClient, ...messages: readonly Buffer[]) {
    const { path } = SignerServiceClient.service.issue;
    const stream = client.makeBidiStreamRequest(
      path,
      (bytes: Buffer) => bytes,
      (bytes: Buffer) => bytes,
    );
    const ended = Promise.withResolvers<ServiceError | undefined>();
    stream.on('data', () => undefined);
    stream.on('error', (error: ServiceError) => ended.resolve(error));
    stream.on('end', () => ended.resolve(undefined));
    for (const message of messages) stream.write(message);
    return ended.promise;
  }

  it.each<[string, Buffer, number]>([
    ['noise', Buffer.alloc(50, 0xff), status.INTERNAL],
    ['a length beyond the end', Buffer.of(0x12, 0xff, 0xff, 0xff, 0x07), status.INTERNAL],
    ['an id of 2^64-1', Buffer.from('08ffffffffffffffffff01', 'hex'), status.INTERNAL],
    ['4 MB and more', Buffer.alloc(4 * 1024 * 1024 + 1), status.RESOURCE_EXHAUSTED],
  ])('ends on %s, and only that stream', async (_, message, code) => {
    const service = await serve();
    const bystander = issuing(connect(service, known));
    expect((await bystander.draw(1)).$case).toBe('drawn');
    expect((await raw(connect(service, known), message))?.code).toBe(code);
    expect((await bystander.whole(2)).$case).toBe('issued');
  });

  it('cut off while requests wait for the disk leaves the others alone', async () => {
    const waiting: (() => void)[] = [];
    let arrived = Promise.withResolvers<void>();
    let hold = true;
    const world = createWorld({
      audit: (record) =>
        new Promise((resolve) => {
          if (!hold) return resolve(world.records.push(record));
          waiting.push(() => resolve(world.records.push(record)));
          arrived.resolve();
        }),
    });
    const service = await serve(world);
    for (const how of ['cancel', 'socket'] as const) {
      arrived = Promise.withResolvers();
      hold = true;
      const client = connect(service, known);
      const cut = issuing(client);
      cut.whole(1).catch(() => undefined);
      await arrived.promise;
      if (how === 'cancel') cut.stream.cancel();
      else client.close();
      cut.stream.cancel();
      await cut.ended;
      hold = false;
      for (const go of waiting.splice(0)) go();
      expect((await issuing(connect(service, known)).whole(1)).$case).toBe('issued');
    }
    // What was asked for is on record, whether or not anyone was there to take it.
    expect(world.records.filter(({ event }) => event === 'issued')).toHaveLength(4);
  });

  it('is not read while nobody takes the answers', async () => {
    const total = 4000;
    const seen = { asked: 0 };
    const world = createWorld();
    // 80 MB in all: the windows of HTTP/2 hold less than one.
    const refused = { code: RefusalCode.REFUSAL_CODE_MALFORMED, detail: 'x'.repeat(20_000), faults: [] };
    world.issuance.draw = () => {
      seen.asked++;
      throw new RefusedError(refused.code, refused.detail);
    };
    const { port } = await serve(world);
    // A gRPC client would take the answers off the connection, read or not.
    const session = connectHttp2(`https://127.0.0.1:${port}`, {
      ca: pem(internalCa),
      cert: pem(known),
      key: keyPem(known),
      checkServerIdentity: () => undefined,
    });
    stops.push(() => session.destroy());
    const call = session.request({
      ':method': 'POST',
      ':path': SignerServiceClient.service.issue.path,
      'content-type': 'application/grpc',
      te: 'trailers',
    });
    const draw: IssueRequest['step'] = { $case: 'draw', draw: { subject: subjectOf({ chain: [] }) } };
    const request = framed(IssueRequest.encode({ id: 1, step: draw }).finish());
    const answer = framed(IssueResponse.encode({ id: 1, step: { $case: 'refused', refused } }).finish());
    for (let i = 0; i < total; i++) call.write(request);
    // There is no event for what does not happen: until the count has stood still for a while.
    let last: number;
    do {
      last = seen.asked;
      await new Promise((resolve) => setTimeout(resolve, 400));
    } while (seen.asked === 0 || seen.asked !== last);
    expect(seen.asked).toBeLessThan(total / 2);
    let octets = 0;
    const all = Promise.withResolvers<void>();
    call.on('data', (chunk: Buffer) => {
      octets += chunk.length;
      if (octets === total * answer.length) all.resolve();
    });
    await all.promise;
    expect(seen.asked).toBe(total);
  });

  /** Length-prefixed-message of gRPC over HTTP/2: not compressed. */
  function framed(message: Uint8Array): Buffer {
    const header = Buffer.alloc(5);
    header.writeUInt32BE(message.length, 1);
    return Buffer.concat([header, message]);
  }
});
