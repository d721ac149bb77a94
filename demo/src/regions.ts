/** Three regions on this machine: what comes up, a voucher and its trace, and what can happen to all of it. */
import { X509Certificate, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { Agent, request as httpsRequest } from 'node:https';
import { requestVoucher } from '@mecai/client';
import { type Collector, startCollector, traceTree } from '@mecai/test/collector';
import {
  type Fault,
  type Regions,
  type Theatre,
  kinds,
  oneOfEach,
  openFabric,
  openSite,
  openTheatre,
  settle,
  startRegions,
} from '@mecai/test/regions';
import { encodeVoucherRequest, mediaTypes, parseSignedVoucher } from '@mecai/voucher';
import { colours, type Printer } from './printer.ts';
import { proportionalBytes } from './summary.ts';

const patience = { faultMs: 4_000, recoveryMs: 120_000 };

export interface RegionsDemoOptions {
  readonly directory: string;
  readonly seed: number;
  /** The agents of a region in one process. */
  readonly small: boolean;
  /** How many faults; all by default. */
  readonly faults?: number;
}

/** What was opened so far is closed by `close`, told to `opened` at once. */
export async function tellRegions(
  print: Printer,
  options: RegionsDemoOptions,
  opened: (close: () => Promise<void>) => void,
): Promise<boolean> {
  const closing = new AsyncDisposableStack();
  opened(() => closing.disposeAsync());
  print.scene(
    'Three regions on this machine',
    'A NATS cluster of three nodes, a leaf node for each region, two coordinators on one Postgres, two signers, two sinks.',
  );
  const fabric = openFabric();
  closing.defer(() => fabric.close());
  print.step(
    { step: 'fabric', ok: true, namespaces: fabric.cuts, prefix: fabric.prefix },
    fabric.cuts
      ? `each process in a network namespace of its own, on ${fabric.prefix}`
      : 'on addresses of loopback: nobody can be cut off here, that takes root on Linux',
  );
  const collector = await startCollector(fabric.host);
  closing.defer(() => collector.close());
  const regions = await startRegions({
    directory: options.directory,
    fabric,
    agentsTogether: options.small,
    // Nothing but what is asked for explicitly.
    telemetry: { collector: collector.url, traceShare: 0 },
    progress: (what) => print.step({ step: 'start', ok: true, what }, what),
  });
  closing.defer(() => regions.stop());
  const begun = performance.now();
  const ok = [await sceneVouchers(print, regions), await sceneTrace(print, regions, collector)];
  const theatre = await openTheatre(regions, { perSecond: 15, deadlineMs: 120_000, outstanding: 60 });
  closing.defer(() => theatre.close());
  const faults = oneOfEach(regions, options.seed).slice(0, options.faults);
  ok.push(await sceneFaults(print, theatre, faults), await sceneAccounts(print, regions, theatre, begun));
  return ok.every(Boolean);
}

async function sceneVouchers(print: Printer, regions: Regions): Promise<boolean> {
  print.scene(
    '(a) A voucher through each coordinator',
    'They take the signers in turns; whoever has it can check either voucher.',
  );
  const site = await openSite(regions, 'www.shop.test');
  let good = true;
  const turns = regions.coordinators.flatMap((one) => regions.signers.map(() => one));
  for (const { name, vrpUrl } of turns) {
    const since = performance.now();
    const { results } = await requestVoucher(vrpUrl, site.request, { ca: regions.httpsCa });
    const milliseconds = Math.round(performance.now() - since);
    const { status, voucher, detail, perspectives } = results[0]!;
    const va = voucher && new X509Certificate(parseSignedVoucher(voucher).vaCertificate);
    const seen = perspectives.filter(({ ipv4 }) => ipv4?.verdict === 'match').length;
    good &&= va !== undefined;
    print.step(
      {
        step: 'voucher',
        ok: va !== undefined,
        coordinator: name,
        status,
        detail,
        milliseconds,
        serial: va?.serialNumber,
      },
      `${name}: ${status} in ${milliseconds} ms, ${seen} perspectives had seen it; signed under ${va?.subject.split('\n').at(-1)}, certificate ${va?.serialNumber}`,
    );
  }
  await site.endpoint.close();
  return good;
}

async function sceneTrace(print: Printer, regions: Regions, collector: Collector): Promise<boolean> {
  print.scene(
    '(b) One voucher, one trace',
    'From the request over NATS and the leaf nodes to each probe, and through a signer to its HSM.',
  );
  const site = await openSite(regions, 'www.trace.test');
  const traceId = randomBytes(16).toString('hex');
  const request = httpsRequest(regions.coordinators[0]!.vrpUrl, {
    method: 'POST',
    agent: new Agent({ ca: regions.httpsCa }),
    headers: {
      'content-type': mediaTypes.request,
      // W3C Trace Context: sampled.
      traceparent: `00-${traceId}-${randomBytes(8).toString('hex')}-01`,
    },
  });
  request.end(encodeVoucherRequest(site.request));
  const [response] = (await once(request, 'response')) as [NodeJS.ReadableStream];
  for await (const _ of response);
  const spans = () => collector.spans.filter((span) => span.traceId === traceId);
  const complete = () =>
    spans().filter(({ name }) => name === 'probe').length >= 4 &&
    spans().some(({ name }) => name === 'POST /vrp');
  // Exporters wait for company.
  for (const until = performance.now() + 20_000; !complete() && performance.now() < until; ) {
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  await site.endpoint.close();
  const found = spans();
  if (complete()) {
    print.line(traceTree(found));
    print.line();
  }
  const probes = found.filter(({ name }) => name === 'probe').length;
  print.step(
    { step: 'trace', ok: complete(), traceId, spans: found.length, probes },
    `trace ${traceId}: ${found.length} spans, ${probes} probes`,
  );
  return complete();
}

async function sceneFaults(print: Printer, theatre: Theatre, faults: readonly Fault[]): Promise<boolean> {
  print.scene(
    '(c) What can happen',
    `Under 15 requests a second, one process after the other is killed, paused or cut off for ${patience.faultMs / 1000} s.`,
  );
  await theatre.untilUsual(60_000);
  for (const fault of faults) {
    const figures = await theatre.suffer(fault, patience);
    const { part, deed, requests, answers, longestGapMs, recoveryMs } = figures;
    const others = Object.entries(answers)
      .filter(([status]) => status !== 'issued')
      .map(([status, count]) => `, ${count} ${colours.inconclusive(status)}`)
      .join('');
    const seconds = (ms: number) => `${(ms / 1000).toFixed(1)} s`;
    print.step(
      { step: 'fault', ok: true, ...figures },
      `${`${part} ${deed}`.padEnd(24)} ${requests} requests: ${answers['issued'] ?? 0} issued${others}; ` +
        `longest time without a voucher ${seconds(longestGapMs)}; as before after ${seconds(recoveryMs)}`,
    );
  }
  await theatre.closeLoad();
  const clear = theatre.unclear.length === 0;
  print.step(
    { step: 'answers', ok: clear, requests: theatre.endings.length, unclear: theatre.unclear },
    `${theatre.endings.length} requests, each with a clear answer in time`,
  );
  return clear;
}

async function sceneAccounts(
  print: Printer,
  regions: Regions,
  theatre: Theatre,
  begun: number,
): Promise<boolean> {
  print.scene('In the end', 'What requesters hold, held against decisions, audit logs, streams and rows.');
  const accounts = await settle(regions, theatre, { withinMs: 120_000 });
  const { vouchers, decisions, auditLines, observations, rows } = accounts;
  const wrong = [...accounts.wrong, ...accounts.unsettled.map((what) => `still on its way: ${what}`)];
  print.step(
    { step: 'accounts', ok: wrong.length === 0, ...accounts },
    `${vouchers} vouchers handed out; ${decisions} decisions, ${auditLines} audit lines, ${observations} observations acknowledged, ` +
      `${rows} rows stored: ${wrong.length === 0 ? 'nothing is lost' : wrong.slice(0, 5).join('; ')}`,
  );
  const megabytes = Math.round(
    proportionalBytes([process.pid, ...regions.parts.flatMap((part) => part.pids())]) / 1e6,
  );
  const processes = Object.fromEntries(
    kinds.map((kind) => [kind, regions.parts.filter((part) => part.kind === kind).length]),
  );
  print.step(
    { step: 'memory', ok: true, megabytes, processes },
    `memory of ${regions.parts.length} processes together (PSS): ${megabytes} MB`,
  );
  const seconds = Number(((performance.now() - begun) / 1000).toFixed(1));
  print.step({ step: 'story', ok: true, seconds }, `the story took ${seconds} s`);
  const urls = {
    ...Object.fromEntries(regions.coordinators.map(({ name, vrpUrl }) => [name, vrpUrl])),
    ...Object.fromEntries(
      regions.sinks.map(({ adminUrl }, i) => [`analytics-${i + 1}`, `${adminUrl}/counts`]),
    ),
    files: regions.directory,
  };
  print.line();
  print.table(Object.entries(urls));
  print.note({ step: 'urls', ok: true, ...urls });
  return wrong.length === 0;
}
