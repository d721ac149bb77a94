import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { Agent } from 'node:https';
import { connect } from 'node:tls';
import { type ChainResult, encodeVoucherRequest, encodeVoucherRequestJson, mediaTypes } from '@mecai/voucher';
import { describe, expect, it } from 'vitest';
import { type Decided } from './decide.ts';
import { CoordinatorError } from './error.ts';
import { type VrpServer } from './http-server.ts';
import { chainOf, serverName, webLeaf } from './testing/chains.ts';
import { call, json } from './testing/https.ts';
import {
  ask,
  askJson,
  decided,
  good,
  goodDer,
  issued,
  jsonOf,
  leaf,
  portOf,
  problem,
  results,
  setScene,
  start,
  using,
} from './testing/vrp.ts';

const scene = setScene();

describe('a good request', () => {
  it('in DER is answered in DER', async () => {
    const { status, headers, body } = await ask(goodDer);
    expect(status).toBe(200);
    expect(headers).toMatchObject({ 'content-type': mediaTypes.response, 'cache-control': 'no-store' });
    expect(results(body)).toMatchObject([{ status: 'issued' }]);
    expect(scene.questions).toHaveLength(1);
    expect(scene.questions[0]).toMatchObject({
      subject: { addresses: [Buffer.from(good.ipv4!)], port: 443, serverName, startTls: '' },
      requester: Uint8Array.of(127, 0, 0, 1),
      authenticated: false,
    });
    expect(scene.questions[0]!.subject.chain.map((one) => Buffer.from(one))).toEqual(
      chainOf(leaf).map((one) => Buffer.from(one)),
    );
  });

  it('in JSON is answered in JSON', async () => {
    const { status, headers, json: read } = await askJson(jsonOf(good));
    expect([status, headers['content-type']]).toEqual([200, mediaTypes.json]);
    expect(read()).toMatchObject({ version: 1, results: [{ status: 'issued', voucher: 'AQ==' }] });
  });

  it.each([
    [mediaTypes.request, mediaTypes.json, mediaTypes.json],
    [mediaTypes.json, mediaTypes.response, mediaTypes.response],
    [mediaTypes.request, '*/*', mediaTypes.response],
    [mediaTypes.json, 'text/html, */*;q=0.1', mediaTypes.json],
    [mediaTypes.request, `${mediaTypes.json};q=0.5, ${mediaTypes.response};q=0.4`, mediaTypes.json],
    [mediaTypes.json, `${mediaTypes.response};q=0.5, ${mediaTypes.json};q=0.9`, mediaTypes.json],
    [mediaTypes.request, `${mediaTypes.json};q=0`, mediaTypes.response],
    [mediaTypes.request, `${mediaTypes.json}, ${mediaTypes.response}`, mediaTypes.response],
  ])('of type %s that accepts %s gets %s', async (type, accept, expected) => {
    const body = type === mediaTypes.json ? encodeVoucherRequestJson(good) : goodDer;
    const { status, headers } = await ask(body, { headers: { 'content-type': type, accept } });
    expect([status, headers['content-type']]).toEqual([200, expected]);
  });

  it('may name a parameter of its media type, in any case', async () => {
    const { status } = await askJson(jsonOf(good), {
      headers: { 'content-type': 'Application/JSON; charset=utf-8' },
    });
    expect(status).toBe(200);
  });

  it('of four chains gets four results in their order, and 200 whatever they are', async () => {
    const leaves = [leaf, ...[0, 1, 2].map(() => webLeaf())];
    const outcomes: ChainResult[] = [
      { status: 'mismatch', perspectives: [] },
      issued,
      { status: 'refused', reason: 'own-ca', perspectives: [] },
      { status: 'inconclusive', retryAfter: 60, perspectives: [] },
    ];
    scene.decide = ({ subject }) => {
      const index = leaves.findIndex(({ der }) => Buffer.compare(der, subject.chain[0]!) === 0);
      return Promise.resolve({ result: outcomes[index]!, unavailable: index === 3 });
    };
    const { status, body } = await ask(encodeVoucherRequest({ ...good, chains: leaves.map(chainOf) }));
    expect(status).toBe(200);
    expect(results(body).map((one) => one.status)).toEqual(['mismatch', 'issued', 'refused', 'inconclusive']);
  });
});

describe('a request that is too much', () => {
  const megabyte = Buffer.alloc(1_048_576, 0x30);

  it.each([
    ['of declared length', megabyte],
    ['in chunks', Array<Buffer>(16).fill(megabyte.subarray(0, 65_536))],
  ])('of 1 MB, %s', async (_, body) => {
    const { status, json: read } = await call(scene.server.url, { body });
    expect(status).toBe(413);
    expect(read()).toEqual(problem(413));
    expect(scene.questions).toEqual([]);
  });

  it('may be followed by a good one on the same connection', async () => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    expect((await call(scene.server.url, { agent, body: megabyte })).status).toBe(413);
    expect((await call(scene.server.url, { agent, body: goodDer })).status).toBe(200);
    agent.destroy();
  });

  it('without end is cut off', async () => {
    const socket = connect({ port: portOf(scene.server), rejectUnauthorized: false });
    await once(socket, 'secureConnect');
    let sent = 0;
    socket.on('error', () => undefined);
    socket.write(head('transfer-encoding: chunked'));
    const chunk = Buffer.concat([Buffer.from('10000\r\n'), Buffer.alloc(65_536), Buffer.from('\r\n')]);
    const closed = new Promise((resolve) => socket.once('close', resolve));
    const more = () => {
      do sent += chunk.length;
      while (!socket.destroyed && socket.write(chunk));
    };
    socket.on('drain', more);
    socket.resume();
    more();
    await closed;
    expect(sent).toBeLessThan(16 * 1024 * 1024);
    expect(scene.questions).toEqual([]);
  });

  it('that comes too slowly gets 408', () =>
    using({ requestWithinMs: 150 }, async (slow) => {
      const answer = await raw(slow, `${head('content-length: 100')}abc`);
      expect(answer).toMatch(/^HTTP\/1\.1 408 /);
      expect(answer).toContain('application/problem+json');
      expect(slow.inFlight).toBe(0);
    }));

  it('with headers that come too slowly, too', () =>
    using({ requestWithinMs: 150 }, async (slow) => {
      expect(await raw(slow, 'POST /vrp HTTP/1.1\r\nhost: a\r\n')).toMatch(/^HTTP\/1\.1 408 /);
    }));

  it('that is cut off leaves nothing', async () => {
    const socket = connect({ port: portOf(scene.server), rejectUnauthorized: false });
    await once(socket, 'secureConnect');
    socket.write(`${head('content-length: 100')}abc`);
    socket.destroy();
    await once(socket, 'close');
    expect((await ask(goodDer)).status).toBe(200);
    expect(scene.questions).toHaveLength(1);
    expect(scene.lines).toEqual([]);
  });
});

describe('what is not the VRP', () => {
  it.each(['text/plain', 'application/ocsp-request', 'application/json+x', ''])(
    'media type %j gets 415',
    async (type) => {
      const { status, headers, json: read } = await ask(goodDer, { headers: { 'content-type': type } });
      expect(status).toBe(415);
      expect(headers['accept']).toContain(mediaTypes.request);
      expect(read()).toEqual(problem(415));
    },
  );

  it('a compressed body gets 415, a plain one that says so 200', async () => {
    const coded = await ask(goodDer, {
      headers: { 'content-type': mediaTypes.request, 'content-encoding': 'gzip' },
    });
    expect([coded.status, coded.headers['accept-encoding']]).toEqual([415, 'identity']);
    const plain = await ask(goodDer, {
      headers: { 'content-type': mediaTypes.request, 'content-encoding': 'Identity' },
    });
    expect(plain.status).toBe(200);
  });

  it.each([
    ['GET', '', 405, 'POST'],
    ['PUT', '', 405, 'POST'],
    ['DELETE', '', 405, 'POST'],
    ['POST', '/nonce', 405, 'GET'],
    ['POST', '/', 404, undefined],
    ['POST', '/../secret', 404, undefined],
    ['GET', 'x', 404, undefined],
  ])('%s …/vrp%s gets %i', async (method, path, expected, allow) => {
    const { status, headers, json: read } = await call(scene.server.url + path, { method });
    expect([status, headers['allow']]).toEqual([expected, allow]);
    expect(read()).toEqual(problem(expected));
    expect(scene.questions).toEqual([]);
  });

  it('beside others, gets 503, and slow senders do not count', () =>
    using({ limits: { inFlight: 1 }, requestWithinMs: 5_000 }, async (one) => {
      const slow = connect({ port: portOf(one), rejectUnauthorized: false });
      await once(slow, 'secureConnect');
      slow.write(`${head('content-length: 100')}abc`);
      const begun = Promise.withResolvers<void>();
      const end = Promise.withResolvers<Decided>();
      scene.decide = () => {
        begun.resolve();
        return end.promise;
      };
      const first = call(one.url, { body: goodDer });
      await begun.promise;
      expect(one.inFlight).toBe(1);
      const second = await call(one.url, { body: goodDer });
      expect([second.status, second.headers['retry-after'], second.json()]).toEqual([503, '1', problem(503)]);
      end.resolve(decided(issued));
      expect((await first).status).toBe(200);
      expect(one.inFlight).toBe(0);
      expect(scene.questions).toHaveLength(1);
      slow.destroy();
    }));
});

describe('answers', () => {
  it.each([
    ['no part', true, 503],
    ['one part', false, 200],
  ])('when %s is away', async (_, all, expected) => {
    scene.decide = ({ subject }) =>
      all || Buffer.compare(subject.chain[0]!, leaf.der) === 0
        ? Promise.reject(new CoordinatorError('signer-unavailable', 'the signer cannot be reached'))
        : Promise.resolve(decided(issued));
    const chains = [chainOf(leaf), chainOf(webLeaf())];
    const { status, headers, body } = await ask(encodeVoucherRequest({ ...good, chains }));
    expect([status, headers['retry-after']]).toEqual([expected, all ? '10' : undefined]);
    expect(results(body)[0]).toMatchObject({
      status: 'inconclusive',
      detail: 'the signer cannot be reached',
      retryAfter: 10,
      leaf: createHash('sha256').update(leaf.der).digest(),
    });
  });

  it('tell nothing of what broke inside', async () => {
    scene.decide = () => Promise.reject(new Error('secret'));
    const { status, body } = await ask(goodDer);
    expect([status, results(body)[0]?.detail]).toEqual([503, 'internal error']);
    expect(scene.lines).toMatchObject([{ level: 'error', message: 'no decision' }]);
  });

  it.each([
    'x'.repeat(5_000),
    'ü'.repeat(2_000),
    `${'x'.repeat(1_019)}\u{1f4a9}\u{1f4a9}`,
    'half \ud83d',
    '',
  ])('say no more than the grammar takes', async (detail) => {
    scene.decide = () =>
      Promise.resolve(decided({ status: 'refused', reason: 'untrusted', detail, perspectives: [] }));
    for (const rest of [{}, { headers: json }]) {
      const body = 'headers' in rest ? encodeVoucherRequestJson(good) : goodDer;
      const reply = await ask(body, rest);
      expect(reply.status).toBe(200);
      expect(reply.body.length).toBeLessThan(1_200);
    }
  });

  it('nobody waits for any more are no trouble', async () => {
    const begun = Promise.withResolvers<void>();
    const end = Promise.withResolvers<Decided>();
    scene.decide = () => {
      begun.resolve();
      return end.promise;
    };
    const socket = connect({ port: portOf(scene.server), rejectUnauthorized: false });
    await once(socket, 'secureConnect');
    socket.write(head(`content-length: ${goodDer.length}`));
    socket.write(goodDer);
    await begun.promise;
    socket.destroy();
    await once(socket, 'close');
    end.resolve(decided(issued));
    expect((await ask(goodDer)).status).toBe(200);
    expect(scene.server.inFlight).toBe(0);
    expect(scene.lines).toEqual([]);
  });
});

describe('closing', () => {
  it('waits for what is being decided, and takes nothing new', async () => {
    const one = await start();
    const begun = Promise.withResolvers<void>();
    const end = Promise.withResolvers<Decided>();
    scene.decide = () => {
      begun.resolve();
      return end.promise;
    };
    const agent = new Agent({ keepAlive: true });
    const first = call(one.url, { body: goodDer, agent });
    await begun.promise;
    const closed = one.close(10_000);
    await expect(call(one.url, { body: goodDer })).rejects.toThrow('ECONNREFUSED');
    end.resolve(decided(issued));
    expect(await first).toMatchObject({ status: 200, headers: { connection: 'close' } });
    await closed;
    agent.destroy();
  });

  it('does not wait for idle connections, nor for long for slow ones', async () => {
    const one = await start();
    const idle = new Agent({ keepAlive: true });
    await call(one.url, { body: goodDer, agent: idle });
    const slow = connect({ port: portOf(one), rejectUnauthorized: false });
    slow.on('error', () => undefined);
    await once(slow, 'secureConnect');
    slow.write(`${head('content-length: 100')}abc`);
    await one.close(100);
    idle.destroy();
  });
});

const head = (length: string) =>
  `POST /vrp HTTP/1.1\r\nhost: localhost\r\ncontent-type: ${mediaTypes.request}\r\n${length}\r\n\r\n`;

/** Everything that comes back until the server closes. */
async function raw(to: VrpServer, text: string): Promise<string> {
  const socket = connect({ port: portOf(to), rejectUnauthorized: false });
  await once(socket, 'secureConnect');
  socket.write(text);
  let answer = '';
  for await (const chunk of socket as AsyncIterable<Buffer>) answer += chunk.toString();
  return answer;
}
