import { type Logger, type Span, SpanKind, type Telemetry, parentOf, traced } from '@mecai/runtime';
import type { Answer } from './observe.ts';

/** What the agent counts and times; names as Prometheus shows them, without `mecai_`. */
export class Measures {
  readonly #telemetry: Telemetry;
  readonly #agent: string;
  readonly #now: () => number;
  readonly #log: Logger;
  readonly #probe: ReturnType<Telemetry['duration']>;

  /** @param now milliseconds since 1970 */
  constructor(telemetry: Telemetry, agent: string, now: () => number, log: Logger) {
    this.#telemetry = telemetry;
    this.#agent = agent;
    this.#now = now;
    this.#log = log;
    this.#probe = telemetry.duration<'outcome' | 'asked_by'>(
      'probe.duration',
      'From a task to its answer; outcome is `ok` or the error class.',
    );
  }

  /** Follows one probe from its task to its answer; its parent comes with the task. */
  async follow(answer: Promise<Answer>, traceparent: string | undefined): Promise<Answer> {
    const began = this.#now();
    const since = performance.now();
    const trace = parentOf(traceparent);
    const span = this.#telemetry.span('probe', trace, SpanKind.CONSUMER);
    const given = await answer;
    const { failure } = given.observation;
    const outcome = failure?.class ?? 'ok';
    this.#probe(performance.now() - since, {
      outcome,
      asked_by: given.campaign ? 'campaign' : 'coordinator',
    });
    if (span.isRecording()) describe(span, given, began, outcome, this.#agent);
    span.end();
    if (trace) traced(this.#log, trace).info({ outcome }, 'probed');
    return given;
  }
}

function describe(span: Span, { observation }: Answer, began: number, outcome: string, agent: string): void {
  const { target, timings } = observation;
  span.setAttributes({ 'mecai.agent': agent, 'mecai.outcome': outcome, 'server.port': target?.port ?? 0 });
  for (const [name, micros] of [
    ['connected', timings?.connect],
    ['first octet', timings?.firstByte],
    ['possession proven', timings?.proof],
  ] as const) {
    if (micros) span.addEvent(name, {}, began + micros / 1000);
  }
}
