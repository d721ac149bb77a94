import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { serverCertificate } from '../network/index.ts';
import { type Collector, startCollector, traceTree } from '../parts/collector.ts';
import { Asker, serverName } from '../trust/asker.ts';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

describe('one voucher, one trace', () => {
  let collector: Collector;
  let lines: readonly LogLine[];
  beforeAll(async () => {
    collector = await startCollector();
    const telemetry = { collector: collector.url, traceShare: 1 };
    const asker = await Asker.start({ coordinator: { telemetry }, agent: { telemetry } });
    const { webIntermediate } = asker.network.pki;
    const ask = await asker.about([
      serverCertificate(webIntermediate, { dns: [serverName] }),
      webIntermediate,
    ]);
    // The first has cold caches; the trace of the second is what people see.
    await ask();
    expect((await ask()).status).toBe('issued');
    // Two that something goes wrong with: nobody serves the CRL; the signer is gone.
    const unserved = { ...webIntermediate, crlUrl: 'http://127.0.0.80:1/none.crl' };
    const leaf = serverCertificate(unserved, { dns: [serverName] });
    await (await asker.about([leaf, webIntermediate], serverName, '127.0.0.81'))();
    await asker.network.signer.signal('SIGKILL');
    expect((await ask()).status).toBe('inconclusive');
    const logs = join(asker.network.directory, 'logs');
    const texts = readdirSync(logs).map((file) => readFileSync(join(logs, file), 'utf8'));
    lines = texts.flatMap((text) => text.trim().split('\n')).map((line) => JSON.parse(line) as LogLine);
    // What is not exported yet is when the processes end.
    await asker.close();
  });
  afterAll(() => collector.close());

  test('from the request to each probe and to the HSM', () => {
    const roots = collector.spans
      .filter(({ name }) => name === 'POST /vrp')
      .toSorted((a, b) => a.begin - b.begin);
    expect(roots).toHaveLength(4);
    const root = roots[1]!;
    const trace = collector.spans.filter(({ traceId }) => traceId === root.traceId);
    const below = (parent: { readonly spanId: string }) =>
      trace
        .filter(({ parentSpanId }) => parentSpanId === parent.spanId)
        .toSorted((a, b) => a.begin - b.begin)
        .map(({ name }) => name);
    const one = (name: string) => trace.find((span) => span.name === name)!;
    expect(below(root)).toEqual([
      'signer draw',
      'perspectives',
      'certificate log',
      'signer evidence',
      'record stored',
    ]);
    expect(below(one('perspectives'))).toEqual(Array.from({ length: 6 }, () => 'probe'));
    expect(below(one('signer evidence'))).toEqual([
      'signer: evidence and quorum',
      'signer: trust and revocation',
      'signer: voucher built',
      'signer: HSM',
      'signer: lint',
      'signer: audit log',
    ]);
    expect(new Set(trace.map(({ service }) => service))).toEqual(new Set(['coordinator', 'probe-agent']));
    const printed = traceTree(trace);
    expect(printed.split('\n')).toHaveLength(trace.length);
    // The README shows one, at its own pace.
    const readme = readFileSync(join(import.meta.dirname, '../../../README.md'), 'utf8');
    const [, shown = ''] = /<!-- trace: begin -->\n```text\n([^]*?)\n```/.exec(readme) ?? [];
    const withoutTimes = (text: string) => text.replaceAll(/ +[\d.]+ +[\d.]+ ms$/gm, '');
    expect(withoutTimes(shown)).toBe(withoutTimes(printed));
  });

  test('is what joins the lines that each process logs', () => {
    const of = (trace: string) => lines.filter(({ trace_id }) => trace_id === trace);
    const traces = [...new Set(lines.flatMap(({ trace_id }) => trace_id ?? []))];
    expect(traces).toHaveLength(4);
    const issued = of(traces[1]!);
    const told = issued.map(({ name, msg, step, outcome, status }) => [name, msg, step ?? outcome ?? status]);
    expect(told.toSorted((a, b) => a.join().localeCompare(b.join()))).toEqual([
      ['coordinator', 'decided', 'issued'],
      ...Array.from({ length: 6 }, () => ['probe-agent', 'probed', 'ok']),
      ['signer', 'answered', 'draw'],
      ['signer', 'answered', 'issue'],
    ]);
    const spans = collector.spans.filter(({ traceId }) => traceId === traces[1]);
    expect(spans.some(({ name }) => name === 'POST /vrp')).toBe(true);
    expect(of(traces[2]!).map(({ msg }) => msg)).toContain('revocation source');
    expect(of(traces[3]!)).toMatchObject([
      { msg: 'no decision', err: expect.anything() },
      { msg: 'decided', status: 'inconclusive' },
    ]);
  });
});

interface LogLine {
  readonly name: string;
  readonly msg: string;
  readonly trace_id?: string;
  readonly step?: string;
  readonly outcome?: string;
  readonly status?: string;
}
