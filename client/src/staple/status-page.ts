/** What the stapler is doing: a page for people, JSON, Prometheus metrics, and the OCSP responder; on loopback. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { certIdKey, requestedCertId, unauthorizedResponse } from './ocsp.ts';
import type { StaplerStatus, TargetStatus } from './stapler.ts';
import { endpointText } from './targets.ts';

export interface StatusServer {
  readonly url: string;
  close(): Promise<void>;
}

const maxRequestOctets = 4_096;

/** `/`, `/status`, `/metrics`, `/healthz`, and `/ocsp` (RFC 6960 appendix A), by POST or GET. */
export async function startStatusServer(
  listen: string,
  status: () => StaplerStatus,
  now: () => number,
): Promise<StatusServer> {
  const server: Server = createServer(
    { requestTimeout: 10_000, headersTimeout: 10_000 },
    (request, response) => {
      answer(request, response).catch(() => response.destroy());
    },
  );
  const colon = listen.lastIndexOf(':');
  server.listen(Number(listen.slice(colon + 1)), listen.slice(0, colon).replace(/^\[|\]$/g, ''));
  await new Promise<void>((resolve, reject) => server.once('listening', resolve).once('error', reject));
  const { address, port, family } = server.address() as AddressInfo;
  return {
    url: `http://${family === 'IPv6' ? `[${address}]` : address}:${port}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = (request.url ?? '/').split('?', 1)[0]!;
    const send = (code: number, type: string, body: string | Uint8Array) =>
      void response
        .writeHead(code, {
          'content-type': type,
          'content-length': Buffer.byteLength(body),
          'cache-control': 'no-store',
        })
        .end(body);
    if (path === '/ocsp' || path.startsWith('/ocsp/')) {
      const asked = request.method === 'POST' ? await bodyOf(request) : fromPath(path.slice('/ocsp/'.length));
      return send(200, 'application/ocsp-response', ocspResponse(status(), asked));
    }
    if (request.method !== 'GET') return send(405, 'text/plain', 'GET only\n');
    switch (path) {
      case '/':
        return send(200, 'text/html; charset=utf-8', statusHtml(status(), now()));
      case '/status':
        return send(200, 'application/json', `${JSON.stringify(statusJson(status()), undefined, 2)}\n`);
      case '/metrics':
        return send(200, 'text/plain; version=0.0.4; charset=utf-8', metricsText(status(), now()));
      case '/healthz':
        return send(200, 'application/json', '{"alive":true}\n');
      default:
        return send(404, 'text/plain', 'try /, /status, /metrics, /healthz\n');
    }
  }
}

async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let octets = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    octets += chunk.length;
    if (octets > maxRequestOctets) throw new RangeError('an OCSP request too long');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** Base64, percent-encoded. */
function fromPath(path: string): Buffer {
  try {
    return Buffer.from(decodeURIComponent(path), 'base64');
  } catch {
    return Buffer.alloc(0);
  }
}

function ocspResponse({ targets, ocspResponses }: StaplerStatus, request: Uint8Array): Uint8Array {
  const asked = requestedCertId(request);
  const found = asked !== undefined && targets.find(({ target }) => certIdKey(target) === asked);
  return (found && ocspResponses.get(found.target.id)) || unauthorizedResponse;
}

const iso = (milliseconds: number) => (milliseconds === 0 ? undefined : new Date(milliseconds).toISOString());

export const statusJson = ({ targets, problems, counts, ...status }: StaplerStatus) => ({
  lastRound: iso(status.lastRound),
  lastDelivery: iso(status.lastDelivery),
  lastReload: iso(status.lastReload),
  problems,
  counts,
  targets: targets.map(({ target, vas }) => ({
    id: target.id,
    name: target.name,
    endpoint: endpointText(target),
    serverInfoFiles: target.serverInfoFiles,
    ocspFiles: target.ocspFiles,
    vas: status.vas.map(({ id }) => {
      const record = vas.get(id);
      return {
        id,
        status: record?.last?.status ?? 'not asked yet',
        detail: record?.last?.detail,
        askedAt: record?.last && iso(record.last.at),
        next: record && iso(record.next),
        failures: record?.failures ?? 0,
        voucher: record?.voucher && {
          producedAt: iso(record.voucher.producedAt),
          notAfter: iso(record.voucher.notAfter),
        },
      };
    }),
  })),
});

const holding = ({ vas }: TargetStatus, now: number) =>
  [...vas.values()].filter(({ voucher }) => voucher && voucher.notAfter > now).length;

/** Labels: the VA's name and the target's id, both few. */
export function metricsText(status: StaplerStatus, now: number): string {
  const { targets, vas, counts, problems } = status;
  const lines: string[] = [];
  const metric = (
    name: string,
    type: 'gauge' | 'counter',
    help: string,
    samples: readonly (readonly [string, number])[],
  ) => {
    lines.push(`# HELP mecai_staple_${name} ${help}`, `# TYPE mecai_staple_${name} ${type}`);
    for (const [labels, value] of samples) lines.push(`mecai_staple_${name}${labels} ${value}`);
  };
  const each = (value: (one: TargetStatus, va: string) => number | undefined) =>
    targets.flatMap((one) =>
      vas.flatMap(({ id }) => {
        const found = value(one, id);
        return found === undefined ? [] : [[`{target="${one.target.id}",va="${id}"}`, found] as const];
      }),
    );
  metric('targets', 'gauge', 'Certificates at endpoints that vouchers are wanted for.', [
    ['', targets.length],
  ]);
  metric('problems', 'gauge', 'What stands in the way; the status page tells.', [['', problems.length]]);
  metric(
    'voucher_expires_seconds',
    'gauge',
    'Seconds until the stapled voucher expires; absent without one.',
    each(({ vas: records }, va) => {
      const voucher = records.get(va)?.voucher;
      return voucher && Math.round((voucher.notAfter - now) / 1_000);
    }),
  );
  metric(
    'failures_in_a_row',
    'gauge',
    'Requests without a voucher since the last one that was issued.',
    each(({ vas: records }, va) => records.get(va)?.failures),
  );
  const counted = (name: string, help: string, value: number) => metric(name, 'counter', help, [['', value]]);
  counted('requests_total', 'Requests to VAs.', counts.requests);
  counted('issued_total', 'Vouchers received.', counts.issued);
  counted('failed_total', 'Requests without a usable answer.', counts.failed);
  counted('renewed_early_total', 'Requests made early because a VA asked for it.', counts.renewedEarly);
  counted('reloads_total', 'Reloads of the server.', counts.reloads);
  counted(
    'reloads_failed_total',
    'Tests or reloads that failed; the files were put back.',
    counts.reloadsFailed,
  );
  metric('last_round_timestamp_seconds', 'gauge', 'When the stapler last looked.', [
    ['', status.lastRound / 1_000],
  ]);
  return `${lines.join('\n')}\n`;
}

const escaped = (text: string): string => text.replace(/[&<>"']/g, (char) => `&#${char.charCodeAt(0)};`);

function statusHtml(status: StaplerStatus, now: number): string {
  const { targets, vas, problems } = status;
  const cell = (one: TargetStatus, va: string): string => {
    const record = one.vas.get(va);
    const held = record?.voucher && record.voucher.notAfter > now;
    const words = [
      record?.last?.status ?? 'not asked yet',
      ...(held ? [`until ${iso(record.voucher!.notAfter)}`] : []),
      ...(record?.last?.detail === undefined ? [] : [record.last.detail]),
      ...(record ? [`asked again ${iso(record.next)}`] : []),
    ];
    return `<td class="${held ? 'good' : 'bad'}">${words.map(escaped).join('<br>')}</td>`;
  };
  const rows = targets.map(
    (one) =>
      `<tr><th>${escaped(one.target.name ?? '(no name)')}<br><small>${escaped(endpointText(one.target))}</small></th>` +
      `<td>${holding(one, now)} of ${vas.length}</td>${vas.map(({ id }) => cell(one, id)).join('')}</tr>`,
  );
  const list =
    problems.length === 0
      ? '<p>No problems.</p>'
      : `<ul>${problems.map((one) => `<li>${escaped(one)}</li>`).join('')}</ul>`;
  return `<!doctype html><html lang="en"><meta charset="utf-8"><title>mecai staple</title>
<style>body{font:15px system-ui;margin:2em}table{border-collapse:collapse}td,th{border:1px solid #ccc;padding:.4em .6em;text-align:left;vertical-align:top}.good{background:#e6f4ea}.bad{background:#fce8e6}</style>
<h1>Vouchers</h1><p>Looked ${iso(status.lastRound) ?? 'never'}, reloaded ${iso(status.lastReload) ?? 'never'}.</p>
<table><tr><th>certificate at</th><th>hold</th>${vas.map(({ id }) => `<th>${escaped(id)}</th>`).join('')}</tr>${rows.join('')}</table>
<h2>Problems</h2>${list}</html>
`;
}
