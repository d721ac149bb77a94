import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { type Server, createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import fc from 'fast-check';
import { afterEach, describe, expect, test } from 'vitest';
import { startAdminServer } from './admin-server.ts';
import { createLogger } from './process.ts';
import {
  Telemetry,
  below,
  failed,
  parentOf,
  telemetryConfig,
  traceparentOf,
  traced,
  within,
} from './telemetry.ts';

const parent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
const unsampled = parent.replace(/01$/, '00');

/** A collector on loopback that keeps what it is sent. */
async function collector() {
  const received: { path: string; body: string }[] = [];
  const server: Server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      received.push({ path: request.url ?? '', body: Buffer.concat(chunks).toString() });
      response.writeHead(200, { 'content-type': 'application/json' }).end('{}');
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  closing.push(() => void server.close());
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, received };
}
const closing: (() => void)[] = [];
afterEach(() => closing.splice(0).forEach((close) => close()));

const settings = (given: object = {}) => telemetryConfig().parse(given);

interface ExportedSpan {
  readonly name: string;
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly status: { readonly code?: number; readonly message?: string };
}
const spansIn = (bodies: readonly { path: string; body: string }[]): ExportedSpan[] =>
  bodies
    .filter(({ path }) => path === '/v1/traces')
    .flatMap(({ body }) => {
      const { resourceSpans } = JSON.parse(body) as {
        resourceSpans: { scopeSpans: { spans: ExportedSpan[] }[] }[];
      };
      return resourceSpans.flatMap(({ scopeSpans }) => scopeSpans.flatMap(({ spans }) => spans));
    });

describe('traces', () => {
  test('two processes, one trace: the collector gets both spans, linked', async () => {
    const { url, received } = await collector();
    const coordinator = new Telemetry('coordinator', 'coordinator-1', settings({ collector: url }));
    const signer = new Telemetry('signer', 'signer-1', settings({ collector: url, traceShare: 0 }));
    const outer = coordinator.span('vrp', parentOf(parent));
    const said = traceparentOf(outer);
    const inner = signer.span('issue', parentOf(said));
    await expect(within(inner, () => Promise.reject(new Error('no quorum')))).rejects.toThrow('no quorum');
    outer.end();
    await Promise.all([coordinator.stop(), signer.stop()]);
    const spans = spansIn(received);
    const [vrp, issue] = ['vrp', 'issue'].map((name) => spans.find((span) => span.name === name)!);
    expect(vrp).toMatchObject({ traceId: parent.slice(3, 35), parentSpanId: parent.slice(36, 52) });
    expect(issue).toMatchObject({ traceId: vrp!.traceId, parentSpanId: vrp!.spanId });
    expect(issue!.status).toEqual({ code: 2, message: 'no quorum' });
  });

  test('traceShare decides for requests that come without a trace', async () => {
    const { url, received } = await collector();
    for (const traceShare of [0, 1]) {
      const telemetry = new Telemetry('x', 'x', settings({ collector: url, traceShare }));
      const span = telemetry.span(`share ${traceShare}`, undefined);
      expect(span.isRecording()).toBe(traceShare === 1);
      expect(traceparentOf(span) === '').toBe(traceShare === 0);
      span.end();
      await telemetry.stop();
    }
    expect(spansIn(received).map(({ name }) => name)).toEqual(['share 1']);
  });

  test('a caller that does not trace is not traced', () => {
    const telemetry = new Telemetry('x', 'x', settings({ collector: 'http://127.0.0.1:1', traceShare: 1 }));
    expect(telemetry.span('one', parentOf(unsampled)).isRecording()).toBe(false);
  });

  test('without a collector nothing is traced', () => {
    const span = new Telemetry('x', 'x', settings({ traceShare: 1 })).span('one', parentOf(parent));
    expect(traceparentOf(span)).toBe('');
    expect(below(span)).toBeUndefined();
    failed(span, 'nothing happens');
  });

  test('log lines tell the trace they belong to', () => {
    const telemetry = new Telemetry('x', 'x', settings({ collector: 'http://127.0.0.1:1', traceShare: 1 }));
    const log = createLogger('x', 'silent');
    const span = telemetry.span('one', parentOf(parent));
    expect(traced(log, below(span)).bindings()).toMatchObject({ trace_id: parent.slice(3, 35) });
    expect(traced(log, undefined)).toBe(log);
  });

  test('a collector that is away is nobody’s error', async () => {
    const telemetry = new Telemetry('x', 'x', settings({ collector: 'http://127.0.0.1:1', traceShare: 1 }));
    telemetry.span('one', undefined).end();
    await telemetry.stop();
  });

  test('what is no traceparent is no parent', () => {
    for (const text of [undefined, '', parent.replace('00-', 'ff-'), `${parent}-x`, parent.toUpperCase()]) {
      expect(parentOf(text)).toBeUndefined();
    }
    expect(parentOf(`00-${'0'.repeat(32)}-b7ad6b7169203331-01`)).toBeUndefined();
    fc.assert(
      fc.property(fc.string({ maxLength: 60 }), (text) => {
        expect(parentOf(text)).toBeUndefined();
      }),
    );
  });
});

describe('metrics', () => {
  test('the same labels in another order are the same count', async () => {
    const telemetry = new Telemetry('coordinator', 'coordinator-1', settings());
    const verdicts = telemetry.counter<'agent' | 'verdict'>('verdicts', 'Verdicts.');
    verdicts({ agent: 'oslo', verdict: 'match' });
    verdicts({ verdict: 'match', agent: 'oslo' }, 2);
    verdicts({ agent: 'rome', verdict: 'match' });
    const lines = (await telemetry.metrics()).split('\n').filter((line) => line.startsWith('mecai_verdicts'));
    expect(new Set(lines.map((line) => line.split(' ')[1]))).toEqual(new Set(['1', '3']));
    await telemetry.stop();
  });

  test('Prometheus reads them, with the names people expect', async () => {
    const telemetry = new Telemetry('coordinator', 'coordinator-1', settings());
    const decisions = telemetry.counter<'status'>('decisions', 'Decisions by status.');
    const took = telemetry.duration<'status'>('decision.duration', 'From request to decision.');
    telemetry.gauge<'agent'>('agent.silent.seconds', 'Since the last sign of life.', () => [
      [1.5, { agent: 'frankfurt' }],
    ]);
    telemetry.gauge('requests.in.flight', 'Being decided.', () => 3);
    decisions({ status: 'issued' });
    decisions({ status: 'issued' }, 2);
    took(12, { status: 'issued' });
    const server = await startAdminServer(
      { host: '127.0.0.1', port: 0 },
      { missing: () => [], status: () => ({}), metrics: () => telemetry.metrics() },
    );
    const answer = await fetch(`${server.url}/metrics`);
    const text = await answer.text();
    await server.close();
    expect(answer.headers.get('content-type')).toContain('version=0.0.4');
    expect(text).toMatch(/^mecai_decisions_total\{.*status="issued".*\} 3/m);
    expect(text).toMatch(/^mecai_decision_duration_seconds_bucket\{.*le="0.02".*\} 1/m);
    expect(text).toMatch(/^mecai_decision_duration_seconds_bucket\{.*le="0.01".*\} 0/m);
    expect(text).toMatch(/^mecai_agent_silent_seconds\{.*agent="frankfurt".*\} 1.5/m);
    expect(text).toMatch(/^mecai_requests_in_flight(\{.*\})? 3/m);
    const { status, stdout, stderr } = spawnSync('promtool', ['check', 'metrics'], {
      input: text,
      encoding: 'utf8',
    });
    expect(stderr + stdout).not.toMatch(/error/i);
    expect(status, stderr + stdout).not.toBe(1);
  });

  test('the collector gets them as often as it is told', async () => {
    const { url, received } = await collector();
    const telemetry = new Telemetry('signer', 'signer-1', settings({ collector: url, metricsEveryMs: 100 }));
    telemetry.counter('vouchers', 'Vouchers issued.')({});
    const sent = () =>
      received.filter(({ path, body }) => path === '/v1/metrics' && body.includes('mecai.vouchers'));
    await expect.poll(() => sent().length, { timeout: 60_000 }).toBeGreaterThan(1);
    await telemetry.stop();
  });
});

test.each([
  [{ collector: 'ftp://x' }, 'collector'],
  [{ traceShare: 1.1 }, 'traceShare'],
  [{ metricsEveryMs: 1 }, 'metricsEveryMs'],
])('%j is refused', (given, member) => {
  expect(telemetryConfig().safeParse(given).error?.issues[0]?.path).toEqual([member]);
});
