/** An OTLP collector on loopback that keeps the spans it is sent. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface CollectedSpan {
  readonly service: string;
  readonly name: string;
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  /** Milliseconds since 1970. */
  readonly begin: number;
  readonly end: number;
}

export interface Collector {
  readonly url: string;
  readonly spans: readonly CollectedSpan[];
  close(): void;
}

interface Export {
  readonly resourceSpans: readonly {
    readonly resource: { readonly attributes: readonly { key: string; value: { stringValue?: string } }[] };
    readonly scopeSpans: readonly {
      readonly spans: readonly (Omit<CollectedSpan, 'service' | 'begin' | 'end'> & {
        readonly startTimeUnixNano: string;
        readonly endTimeUnixNano: string;
      })[];
    }[];
  }[];
}

export async function startCollector(host = '127.0.0.1'): Promise<Collector> {
  const spans: CollectedSpan[] = [];
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      if (request.url === '/v1/traces') take(JSON.parse(Buffer.concat(chunks).toString()) as Export);
      response.writeHead(200, { 'content-type': 'application/json' }).end('{}');
    });
  });
  function take({ resourceSpans }: Export): void {
    for (const { resource, scopeSpans } of resourceSpans) {
      const service = resource.attributes.find(({ key }) => key === 'service.name')?.value.stringValue ?? '';
      for (const { startTimeUnixNano, endTimeUnixNano, ...span } of scopeSpans.flatMap(
        (scope) => scope.spans,
      )) {
        const milliseconds = (nano: string) => Number(BigInt(nano) / 1000n) / 1000;
        spans.push({
          ...span,
          service,
          begin: milliseconds(startTimeUnixNano),
          end: milliseconds(endTimeUnixNano),
        });
      }
    }
  }
  server.listen(0, host);
  await once(server, 'listening');
  return {
    url: `http://${host}:${(server.address() as AddressInfo).port}`,
    spans,
    close: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}

/** One trace as text, a line a span: who, what, when it began, how long it took; children below their parents. */
export function traceTree(spans: readonly CollectedSpan[]): string {
  const ids = new Set(spans.map(({ spanId }) => spanId));
  const origin = Math.min(...spans.map(({ begin }) => begin));
  const children = (parent: string | undefined) =>
    spans
      .filter(({ parentSpanId = '' }) =>
        parent === undefined ? !ids.has(parentSpanId) : parentSpanId === parent,
      )
      .toSorted((a, b) => a.begin - b.begin);
  const lines: string[] = [];
  const add = (span: CollectedSpan, depth: number) => {
    const what = `${'  '.repeat(depth)}${span.name}`.padEnd(34);
    const at = (span.begin - origin).toFixed(1).padStart(7);
    const took = `${(span.end - span.begin).toFixed(1)} ms`.padStart(10);
    lines.push(`${what}${span.service.padEnd(12)}${at}${took}`);
    for (const child of children(span.spanId)) add(child, depth + 1);
  };
  for (const root of children(undefined)) add(root, 0);
  return lines.join('\n');
}
