import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { serverCertificate } from '../network/index.ts';
import { type Collector, startCollector, traceTree } from '../parts/collector.ts';
import { Asker, serverName } from '../trust/asker.ts';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

describe('one voucher, one trace', () => {
  let collector: Collector;
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
    // What is not exported yet is when the processes end.
    await asker.close();
  });
  afterAll(() => collector.close());

  test('from the request to each probe and to the HSM', () => {
    const roots = collector.spans
      .filter(({ name }) => name === 'POST /vrp')
      .toSorted((a, b) => a.begin - b.begin);
    expect(roots).toHaveLength(2);
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
});
