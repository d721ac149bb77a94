import {
  Server,
  type ServerCredentials,
  type ServerDuplexStream,
  type ServerReadableStream,
  type ServerUnaryCall,
  type sendUnaryData,
  status,
} from '@grpc/grpc-js';
import {
  type DescribeRequest,
  type DescribeResponse,
  type GetDirectoryRequest,
  type GetDirectoryResponse,
  type IssueRequest,
  type IssueResponse,
  OperatorServiceService,
  RefusalCode,
  SignerServiceService,
  type SupplyRequest,
  type SupplyResponse,
} from '@mecai/proto/signer';
import { type Logger, parentOf, spiffeIdOf, traced } from '@mecai/runtime';
import { CoordinatorStream } from './coordinator-stream.ts';
import { DistrustWatchers, type WatchCall } from './distrust-watch.ts';
import type { Issuance } from './issuance.ts';
import { type OperatorParts, operatorService } from './operator-service.ts';
import type { SignerMeasures } from './measures.ts';
import { RefusedError, refusalName } from './refusal.ts';
import { type RegistryCall, RegistryWatchers } from './registry-watch.ts';
import { type Laps, Stopwatch, untimed } from './stopwatch.ts';
import { Supplies } from './supply.ts';

/** Evidence of six perspectives with ten certificates each stays well below. */
const maxMessageBytes = 4 * 1024 * 1024;

/** How long a coordinator may take to accept its last answers and go. */
const closeWithinMs = 2_000;

export interface SignerService {
  readonly port: number;
  /** After `coordinators` has changed: who is no longer among them is cut off. */
  recheck(): void;
  /** Refuses new draws; evidence for open ones is still taken. */
  drain(): void;
  /** Takes no more requests, answers those it has, then ends the streams. */
  close(): Promise<void>;
}

/** What may change while it serves. */
export interface ServiceTerms {
  readonly coordinators: readonly string[];
  readonly operators: readonly string[];
  readonly issuance: Issuance;
  /** The largest CRL that is taken in. */
  readonly crlOctets: number;
}

export interface ServiceOptions {
  readonly listen: string;
  readonly credentials: ServerCredentials;
  readonly terms: () => ServiceTerms;
  readonly operator: OperatorParts;
  readonly describe: () => DescribeResponse;
  /** A version of the perspective directory, 0 for the latest. */
  readonly directory: (version: number) => Uint8Array | undefined;
  readonly measures: Pick<SignerMeasures, 'request' | 'failed'>;
  readonly log: Logger;
}

export async function startService(options: ServiceOptions): Promise<SignerService> {
  const { terms, log } = options;
  let draining = false;
  const server = new Server({
    'grpc.max_receive_message_length': maxMessageBytes,
    'grpc.max_concurrent_streams': 100,
    'grpc.keepalive_time_ms': 20_000,
  });

  type Call =
    | ServerDuplexStream<IssueRequest, IssueResponse>
    | ServerReadableStream<SupplyRequest, SupplyResponse>
    | WatchCall
    | ServerUnaryCall<DescribeRequest, DescribeResponse>
    | ServerUnaryCall<GetDirectoryRequest, GetDirectoryResponse>;
  const identity = (
    call: Pick<Call, 'getAuthContext' | 'getPeer'>,
    allowed: readonly string[],
  ): string | undefined => {
    const certificate = call.getAuthContext()?.sslPeerCertificate?.raw;
    const id = certificate && spiffeIdOf(certificate);
    if (id !== undefined && allowed.includes(id)) return id;
    log.warn({ peer: call.getPeer(), id }, 'caller not allowed');
    return undefined;
  };
  const caller = (call: Call) => identity(call, terms().coordinators);
  const denied = { code: status.PERMISSION_DENIED, details: 'this identity may not ask the signer' };

  const supplies = new Supplies(
    () => terms().issuance,
    () => terms().crlOctets,
    log,
  );
  const watchers = new DistrustWatchers(options.operator.distrust);
  const registryWatchers = new RegistryWatchers(options.operator.registryBook);
  const streams = new Set<CoordinatorStream>();
  /** Those without an end of their own, by whom they are with. */
  const long = new Map<NodeJS.EventEmitter, string>();
  const keep = (call: NodeJS.EventEmitter, coordinator: string) => {
    long.set(call, coordinator);
    for (const event of ['close', 'cancelled', 'error']) call.on(event, () => long.delete(call));
  };
  server.addService(SignerServiceService, {
    issue(call: ServerDuplexStream<IssueRequest, IssueResponse>) {
      const coordinator = caller(call);
      if (coordinator === undefined) {
        call.emit('error', denied);
        return;
      }
      log.info({ coordinator }, 'coordinator connected');
      const stream = new CoordinatorStream(call, (request) =>
        draining && request.step?.$case === 'draw'
          ? Promise.resolve(stopping(request))
          : answer(options, request, coordinator),
      );
      streams.add(stream);
      keep(call, coordinator);
      call.on('close', () => streams.delete(stream));
      call.on('error', (error) => log.info({ coordinator, reason: error.message }, 'stream ended'));
    },
    supply(
      call: ServerReadableStream<SupplyRequest, SupplyResponse>,
      respond: sendUnaryData<SupplyResponse>,
    ) {
      const coordinator = caller(call);
      if (coordinator === undefined) respond(denied);
      else supplies.take(call, coordinator, respond);
    },
    watchDistrust(call: WatchCall) {
      const coordinator = caller(call);
      if (coordinator === undefined) {
        call.emit('error', denied);
        return;
      }
      watchers.add(call);
      keep(call, coordinator);
    },
    watchRegistry(call: RegistryCall) {
      const coordinator = caller(call);
      if (coordinator === undefined) {
        call.emit('error', denied);
        return;
      }
      registryWatchers.add(call);
      keep(call, coordinator);
    },
    describe(
      call: ServerUnaryCall<DescribeRequest, DescribeResponse>,
      respond: sendUnaryData<DescribeResponse>,
    ) {
      if (caller(call) === undefined) respond(denied);
      else respond(null, options.describe());
    },
    getDirectory(
      call: ServerUnaryCall<GetDirectoryRequest, GetDirectoryResponse>,
      respond: sendUnaryData<GetDirectoryResponse>,
    ) {
      if (caller(call) === undefined) return respond(denied);
      try {
        const document = options.directory(call.request.version);
        if (document) respond(null, { document: Buffer.from(document) });
        else respond({ code: status.NOT_FOUND, details: 'no such version' });
      } catch (error) {
        log.error({ err: error }, 'directory not signed');
        respond({ code: status.UNAVAILABLE, details: 'the directory could not be signed' });
      }
    },
  });
  server.addService(
    OperatorServiceService,
    operatorService(options.operator, (call) => identity(call, terms().operators), log),
  );

  const port = await new Promise<number>((resolve, reject) =>
    server.bindAsync(options.listen, options.credentials, (error, bound) =>
      error ? reject(error) : resolve(bound),
    ),
  );
  return {
    port,
    recheck() {
      for (const [call, coordinator] of long) {
        if (terms().coordinators.includes(coordinator)) continue;
        log.warn({ coordinator }, 'coordinator no longer allowed');
        call.emit('error', denied);
      }
    },
    drain() {
      draining = true;
    },
    close: () =>
      new Promise((resolve) => {
        // A coordinator's stream has no end of its own.
        for (const stream of streams) stream.end();
        watchers.end();
        registryWatchers.end();
        const patience = setTimeout(() => server.forceShutdown(), closeWithinMs);
        server.tryShutdown(() => {
          clearTimeout(patience);
          resolve();
        });
      }),
  };
}

const stopping = ({ id }: IssueRequest): IssueResponse => {
  const { refused } = new RefusedError(RefusalCode.REFUSAL_CODE_STOPPING, 'the signer is stopping');
  return { id, step: { $case: 'refused', refused }, timings: undefined };
};

/** Never rejects: what goes wrong is a refusal. */
async function answer(
  { terms, log, measures }: Pick<ServiceOptions, 'terms' | 'log' | 'measures'>,
  request: IssueRequest,
  coordinator: string,
): Promise<IssueResponse> {
  const { id } = request;
  const trace = parentOf(request.traceparent);
  const lines = traced(log, trace);
  const watch = request.timed ? new Stopwatch(() => performance.now()) : untimed;
  const began = performance.now();
  let outcome = 'ok';
  let step: IssueResponse['step'];
  try {
    step = await judged(terms().issuance, request, coordinator, watch);
  } catch (error) {
    const known = error instanceof RefusedError;
    if (!known) lines.error({ err: error }, 'request failed');
    else if (error.cause !== undefined) lines.error({ err: error.cause }, error.message);
    const { refused } = known ? error : new RefusedError(RefusalCode.REFUSAL_CODE_INTERNAL, 'internal error');
    step = { $case: 'refused', refused };
    outcome = refusalName(refused.code);
    if (refused.code === RefusalCode.REFUSAL_CODE_INTERNAL) measures.failed();
  }
  const asked = request.step?.$case === 'draw' ? 'draw' : 'issue';
  measures.request(performance.now() - began, { step: asked, outcome });
  if (trace) lines.info({ coordinator, step: asked, outcome }, 'answered');
  return { id, step, timings: watch.timings && { steps: watch.timings } };
}

/** @throws RefusedError */
async function judged(
  issuance: Issuance,
  { step }: IssueRequest,
  coordinator: string,
  watch: Laps,
): Promise<IssueResponse['step']> {
  if (step?.$case === 'draw' && step.draw.subject) {
    const drawn = issuance.draw(step.draw.subject, coordinator);
    watch.lap('draw');
    return { $case: 'drawn', drawn };
  }
  if (step?.$case === 'evidence') {
    const { nonce, observations } = step.evidence;
    return { $case: 'issued', issued: await issuance.issue(nonce, observations, coordinator, watch) };
  }
  throw new RefusedError(RefusalCode.REFUSAL_CODE_MALFORMED, 'neither draw nor evidence');
}
