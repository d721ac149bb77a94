import { encodeVoucherResponse, mediaTypes, type TbsVoucherRequest } from '@mecai/voucher';
import { testCertificate } from '@mecai/voucher/testing';
import { createServer } from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { ClientErrorCode } from './error.ts';
import { printable, requestVoucher, vaAgent } from './request.ts';
import { pem, portOf, startTestVa, type TestVaServer } from './test-va-server.ts';

const leaf = testCertificate({ subject: 'server', dnsNames: ['www.example.org'] });
const second = testCertificate({ subject: 'server', dnsNames: ['www.example.org'], serial: 2 });
const request: TbsVoucherRequest = {
  ipv4: Uint8Array.of(192, 0, 2, 1),
  port: 443,
  serverName: 'www.example.org',
  chains: [[leaf.der], [second.der]],
};
const pkcs8 = (key: typeof leaf) => key.privateKey.export({ type: 'pkcs8', format: 'pem' });

let server: TestVaServer;
beforeAll(async () => {
  server = await startTestVa();
});
afterEach(() => server.answerWith());
afterAll(() => server.close());

const ask = (more: Parameters<typeof requestVoucher>[2] = {}, asked = request) =>
  requestVoucher(server.url, asked, { ca: server.tlsCaPem, ...more });

describe('a request', () => {
  test('without proof brings a voucher for each chain', async () => {
    const { results } = await ask();
    expect(results.map((one) => one.status)).toEqual(['issued', 'issued']);
    expect(server.seen.at(-1)!.proven).toEqual([false, false]);
    expect(server.seen.at(-1)!.request.nonce).toBeUndefined();
  });

  test('with keys proves possession of each', async () => {
    await ask({ keys: [leaf.privateKey, second.privateKey] });
    expect(server.seen.at(-1)!.proven).toEqual([true, true]);
    await ask({ keys: [undefined, second.privateKey] });
    expect(server.seen.at(-1)!.proven).toEqual([false, true]);
    await ask({ keys: [second.privateKey] });
    expect(server.seen.at(-1)!.proven).toEqual([false, false]);
  });

  test('with the server certificate in the TLS handshake proves it too', async () => {
    const client = { certificates: pem(leaf.der), key: pkcs8(leaf) };
    await ask({ client }, { ...request, chains: [[leaf.der]] });
    expect(server.seen.at(-1)!.proven).toEqual([true]);
  });

  test('keeps its connection with an agent', async () => {
    const agent = vaAgent({ ca: server.tlsCaPem });
    await ask({ agent });
    await ask({ agent, keys: [leaf.privateKey] });
    const [first, last] = server.seen.slice(-2);
    expect(first!.connection).toBe(last!.connection);
    agent.destroy();
  });

  test('is sent again when a kept connection turns out to be closed', async () => {
    const agent = vaAgent({ ca: server.tlsCaPem });
    await ask({ agent });
    const { connection } = server.seen.at(-1)!;
    let closed = 0;
    server.answerWith((one) => {
      closed++;
      server.answerWith();
      one.socket.destroy();
    });
    await ask({ agent });
    expect(closed).toBe(1);
    expect(server.seen.at(-1)!.connection).not.toBe(connection);
    agent.destroy();
  });

  test('that is refused says so, whatever the HTTP status', async () => {
    server.answerWith((_, response) => {
      const results = [{ status: 'refused', reason: 'forbidden-target', perspectives: [] }] as const;
      response
        .writeHead(403, { 'content-type': mediaTypes.response })
        .end(encodeVoucherResponse({ results }));
    });
    expect((await ask()).results).toMatchObject([{ status: 'refused', reason: 'forbidden-target' }]);
  });
});

const body = (status: number, type: string, content: string | Uint8Array) => () =>
  server.answerWith((_, response) => void response.writeHead(status, { 'content-type': type }).end(content));

describe('an answer that is none', () => {
  const issuedElsewhere = encodeVoucherResponse({
    results: [request, request].map(() => ({
      leaf: new Uint8Array(32),
      status: 'inconclusive',
      perspectives: [],
    })),
  });
  const oneForTwo = encodeVoucherResponse({ results: [{ status: 'inconclusive', perspectives: [] }] });
  const problem = '{"title":"Busy","detail":"4 requests \\u001b[31m are in progress"}';
  const cases: readonly [string, () => void, ClientErrorCode, string][] = [
    [
      'a problem',
      body(503, 'application/problem+json; charset=utf-8', problem),
      'problem',
      'HTTP 503: Busy: 4 requests ?[31m are',
    ],
    [
      'a problem that is not JSON',
      body(500, 'application/problem+json', '<'),
      'problem',
      'a problem without a title',
    ],
    ['a web page', body(200, 'text/html', '<html>'), 'bad-response', 'HTTP 200 with text/html'],
    ['no DER', body(200, mediaTypes.response, 'x'), 'bad-response', 'voucher response: '],
    [
      'an endless answer',
      body(200, mediaTypes.response, new Uint8Array(1_048_577)),
      'bad-response',
      'above 1048576',
    ],
    [
      'fewer results than chains',
      body(200, mediaTypes.response, oneForTwo),
      'bad-response',
      '1 results for 2 chains',
    ],
    [
      'results about another certificate',
      body(200, mediaTypes.response, issuedElsewhere),
      'bad-response',
      'result 0 is about another',
    ],
    [
      'a connection that breaks',
      () => server.answerWith((one) => one.socket.destroy()),
      'unreachable',
      'localhost',
    ],
    ['silence', () => server.answerWith(() => {}), 'unreachable', 'no answer within 200 ms'],
  ];
  test.each(cases)('%s', async (_, prepare, code, words) => {
    prepare();
    await expect(ask({ timeoutMs: code === 'unreachable' ? 200 : 10_000 })).rejects.toMatchObject({
      code,
      message: expect.stringContaining(words),
    });
  });

  test('a problem in place of a nonce', async () => {
    body(404, 'application/problem+json', '{"title":"Not here"}')();
    await expect(ask({ keys: [leaf.privateKey] })).rejects.toMatchObject({ code: 'problem' });
    for (const [status, type] of [
      [200, 'text/html'],
      [404, 'application/octet-stream'],
    ] as const) {
      body(status, type, new Uint8Array(24))();
      await expect(ask({ keys: [leaf.privateKey] })).rejects.toMatchObject({
        code: 'bad-response',
        message: expect.stringContaining('in place of a nonce'),
      });
    }
  });
});

describe('a VA out of reach', () => {
  test('whose server certificate is of another CA', async () => {
    await expect(requestVoucher(server.url, request)).rejects.toMatchObject({ code: 'unreachable' });
  });

  test('that does not listen', async () => {
    const socket = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => socket.once('listening', resolve));
    const port = portOf(socket);
    await new Promise((resolve) => socket.close(resolve));
    await expect(requestVoucher(`https://localhost:${port}/`, request)).rejects.toMatchObject({
      code: 'unreachable',
      message: expect.stringContaining('ECONNREFUSED'),
    });
  });

  test('given up by the caller', async () => {
    server.answerWith(() => {});
    const controller = new AbortController();
    const asked = ask({ signal: controller.signal });
    controller.abort();
    await expect(asked).rejects.toMatchObject({ code: 'unreachable' });
  });

  test.each(['http://va.example/vrp', 'va.example', ''])('at %o, which is no https URL', async (url) => {
    await expect(requestVoucher(url, request)).rejects.toMatchObject({ code: 'bad-url' });
  });
});

test('a request that the grammar does not allow is not sent', async () => {
  await expect(ask({}, { ...request, port: 0 })).rejects.toMatchObject({ code: 'not-encodable' });
});

test('foreign words cannot steer a terminal', () => {
  expect(printable('a\u001b[2J\u202eb\n')).toBe('a?[2J?b?');
});
