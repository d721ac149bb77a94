import {
  type ClientDuplexStream,
  type ClientReadableStream,
  Metadata,
  type ChannelCredentials,
  status,
} from '@grpc/grpc-js';
import type { SignedObservation } from '@mecai/proto';
import {
  type DescribeResponse,
  type Drawn,
  type IssueRequest,
  type IssueResponse,
  type Issued,
  type Refused,
  type RevocationEvidenceKind,
  type SignerStep,
  SignerServiceClient,
  type Subject,
  type SupplyResponse,
  type WatchDistrustResponse,
  type WatchRegistryResponse,
} from '@mecai/proto/signer';
import {
  type Context,
  type Logger,
  type Span,
  SpanKind,
  type Telemetry,
  below,
  traceparentOf,
  within,
} from '@mecai/runtime';
import { CoordinatorError } from './error.ts';

type Answer = NonNullable<IssueResponse['step']>;

interface Waiting {
  readonly resolve: (answer: Answer) => void;
  readonly span: Span;
  readonly reject: (error: Error) => void;
  readonly timer: NodeJS.Timeout;
}

const answerWithinMs = 5_000;
/** It is asked again and again until it answers. */
const describeWithinMs = 2_000;
/** A CRL of 64 MiB takes longer. */
const supplyWithinMs = 30_000;
/** Octets of a CRL in one message. */
const pieceOctets = 262_144;

/** One stream to the signer, opened anew when it breaks; requests on a broken stream fail at once. */
export class SignerClient {
  readonly #client: SignerServiceClient;
  readonly #log: Logger;
  readonly #telemetry: Telemetry;
  readonly #now: () => number;
  readonly #lost: (() => void) | undefined;
  readonly #waiting = new Map<number, Waiting>();
  #stream: ClientDuplexStream<IssueRequest, IssueResponse> | undefined;
  #nextId = 1;
  #closed = false;

  constructor(options: {
    readonly address: string;
    /** They speak to nobody but the signer. */
    readonly credentials: ChannelCredentials;
    readonly log: Logger;
    readonly telemetry: Telemetry;
    /** Milliseconds since 1970. */
    readonly now: () => number;
    /** The stream broke, or an answer did not come: the signer that comes back may be another. */
    readonly lost?: () => void;
  }) {
    this.#log = options.log;
    this.#telemetry = options.telemetry;
    this.#now = options.now;
    this.#lost = options.lost;
    this.#client = new SignerServiceClient(options.address, options.credentials, {
      // Node refuses an IP address as SNI, and no host name counts here.
      'grpc.ssl_target_name_override': 'signer',
      'grpc.max_receive_message_length': 1024 * 1024,
      // Who is cut off without a word counts as gone after the sum of these; one answer is given up before.
      'grpc.keepalive_time_ms': 5_000,
      'grpc.keepalive_timeout_ms': 6_000,
      'grpc.initial_reconnect_backoff_ms': 100,
      'grpc.max_reconnect_backoff_ms': 2_000,
    });
  }

  describe(): Promise<DescribeResponse> {
    return new Promise((resolve, reject) =>
      this.#client.describe(
        {},
        new Metadata(),
        { deadline: this.#now() + describeWithinMs },
        (error, response) => (error ? reject(unavailable(error)) : resolve(response)),
      ),
    );
  }

  /**
   * A version of the perspective directory, 0 for the latest.
   *
   * @throws CoordinatorError `signer-unavailable`; what gRPC says where there is no such version
   */
  directory(version: number): Promise<Uint8Array> {
    return new Promise((resolve, reject) =>
      this.#client.getDirectory(
        { version },
        new Metadata(),
        { deadline: this.#now() + answerWithinMs },
        (error, response) => {
          if (!error) resolve(response.document);
          else reject(error.code === status.NOT_FOUND ? error : unavailable(error));
        },
      ),
    );
  }

  /**
   * @param withinMs how long the answer is waited for
   * @throws CoordinatorError `signer-unavailable`
   */
  async draw(
    subject: Subject,
    parent?: Context,
    withinMs = answerWithinMs,
  ): Promise<Drawn | { readonly refused: Refused }> {
    const answer = await this.#ask({ $case: 'draw', draw: { subject } }, parent, withinMs);
    if (answer.$case === 'drawn') return answer.drawn;
    if (answer.$case === 'refused') return { refused: answer.refused };
    throw new CoordinatorError('signer-unavailable', `the signer answered a draw with ${answer.$case}`);
  }

  /** @throws CoordinatorError `signer-unavailable` */
  async issue(
    nonce: Uint8Array,
    observations: readonly SignedObservation[],
    parent?: Context,
  ): Promise<Issued | { readonly refused: Refused }> {
    const evidence = { nonce, observations: [...observations] };
    const answer = await this.#ask({ $case: 'evidence', evidence }, parent, answerWithinMs);
    if (answer.$case === 'issued') return answer.issued;
    if (answer.$case === 'refused') return { refused: answer.refused };
    throw new CoordinatorError('signer-unavailable', `the signer answered evidence with ${answer.$case}`);
  }

  /**
   * Hands in a CRL or OCSP response about a certificate of an open draw.
   *
   * @param link position in `Drawn.links`
   * @throws CoordinatorError `signer-unavailable`
   */
  supply(
    nonce: Uint8Array,
    link: number,
    kind: RevocationEvidenceKind,
    der: Uint8Array,
  ): Promise<SupplyResponse> {
    return new Promise((resolve, reject) => {
      const call = this.#client.supply(
        new Metadata(),
        { deadline: this.#now() + supplyWithinMs },
        (error, response) => (error ? reject(unavailable(error)) : resolve(response)),
      );
      let at = 0;
      // The next piece once the last has left: a large CRL is not copied whole.
      const next = () => {
        if (at >= der.length) {
          call.end();
          return;
        }
        const piece = der.subarray(at, (at += pieceOctets));
        const [about, of] = at <= pieceOctets ? [nonce, kind] : [new Uint8Array(), 0 as const];
        call.write({ nonce: about, link, kind: of, piece }, next);
      };
      next();
    });
  }

  /** The distrust list and its changes; ends with the connection. */
  watchDistrust(): ClientReadableStream<WatchDistrustResponse> {
    return this.#client.watchDistrust({});
  }

  /** The registry and its updates; ends with the connection. */
  watchRegistry(): ClientReadableStream<WatchRegistryResponse> {
    return this.#client.watchRegistry({});
  }

  close(): void {
    this.#closed = true;
    this.#stream?.end();
    this.#client.close();
  }

  #ask(
    step: NonNullable<IssueRequest['step']>,
    parent: Context | undefined,
    withinMs: number,
  ): Promise<Answer> {
    const span = this.#telemetry.span(`signer ${step.$case}`, parent, SpanKind.CLIENT);
    return within(span, () => this.#answer(step, span, withinMs));
  }

  #answer(step: NonNullable<IssueRequest['step']>, span: Span, withinMs: number): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const id = this.#nextId++;
      const timer = setTimeout(() => {
        this.#waiting.delete(id);
        reject(new CoordinatorError('signer-unavailable', 'the signer did not answer in time'));
        this.#lost?.();
      }, withinMs);
      this.#waiting.set(id, { resolve, reject, timer, span });
      const traceparent = traceparentOf(span);
      this.#open().write({ id, step, ...(traceparent !== '' && { timed: true, traceparent }) });
    });
  }

  /** The signer opens no connection to a collector; what it timed becomes spans here, at the end of the wait. */
  #traceSteps(span: Span, steps: readonly SignerStep[]): void {
    const parent = below(span);
    const last = steps.at(-1);
    if (!parent || !last) return;
    const began = this.#now() - last.end / 1000;
    for (const { step, begin, end } of steps) {
      this.#telemetry
        .span(`signer: ${step}`, parent, SpanKind.INTERNAL, began + begin / 1000)
        .end(began + end / 1000);
    }
  }

  #open(): ClientDuplexStream<IssueRequest, IssueResponse> {
    if (this.#stream) return this.#stream;
    const stream = this.#client.issue();
    this.#stream = stream;
    stream.on('data', ({ id, step, timings }: IssueResponse) => {
      const waiting = this.#waiting.get(id);
      if (!waiting || !step) return;
      this.#waiting.delete(id);
      clearTimeout(waiting.timer);
      if (timings) this.#traceSteps(waiting.span, timings.steps);
      waiting.resolve(step);
    });
    const lost = (error?: Error) => {
      if (this.#stream !== stream) return;
      this.#stream = undefined;
      this.#log.warn({ reason: error?.message ?? 'ended' }, 'stream to the signer lost');
      for (const { reject, timer } of this.#waiting.values()) {
        clearTimeout(timer);
        reject(unavailable(error));
      }
      this.#waiting.clear();
      if (!this.#closed) this.#lost?.();
    };
    stream.on('error', lost);
    stream.on('end', () => lost());
    return stream;
  }
}

const unavailable = (cause?: Error) =>
  new CoordinatorError('signer-unavailable', 'the signer cannot be reached', { cause });
