/** Traces and metrics: OpenTelemetry inside, OTLP and Prometheus outside. Contexts are passed on by hand. */
import {
  type Context,
  type Histogram,
  type Meter,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  SpanStatusCode,
  type Tracer,
  TraceFlags,
  trace,
} from '@opentelemetry/api';
import { OTLPMetricExporter } from '@opentelemetry/exporter-metrics-otlp-http';
import { PrometheusExporter, PrometheusSerializer } from '@opentelemetry/exporter-prometheus';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { MeterProvider, type MetricReader, PeriodicExportingMetricReader } from '@opentelemetry/sdk-metrics';
import {
  BasicTracerProvider,
  BatchSpanProcessor,
  ParentBasedSampler,
  TraceIdRatioBasedSampler,
} from '@opentelemetry/sdk-trace-base';
import type { Logger } from 'pino';
import * as z from 'zod';

export { type Context, type Span, SpanKind } from '@opentelemetry/api';

export const telemetryConfig = () =>
  z
    .strictObject({
      /** OTLP over HTTP, such as http://127.0.0.1:4318; without a collector nothing is sent. */
      collector: z.url({ protocol: /^https?$/ }).optional(),
      /** Share of requests that are traced where the caller does not say, 0 to 1. */
      traceShare: z.number().min(0).max(1).default(0.01),
      /** How often metrics are sent to the collector. */
      metricsEveryMs: z.number().int().min(100).max(3_600_000).default(15_000),
    })
    .prefault({});

export type TelemetryConfig = z.output<ReturnType<typeof telemetryConfig>>;

/** Upper bounds of durations, seconds: from a signature to a probe that times out. */
const secondsBounds = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30];

/** What a process tells of itself. One for each process. */
export class Telemetry {
  readonly #tracer: Tracer;
  readonly #meter: Meter;
  readonly #prometheus = new PrometheusExporter({ preventServerStart: true });
  // Without the name of the meter on every line: there is but one.
  readonly #serializer = new PrometheusSerializer(undefined, false, undefined, false, true);
  readonly #stop: () => Promise<unknown>;

  /**
   * @param service such as `coordinator`
   * @param instance the process's own name, such as `coordinator-1`
   */
  constructor(service: string, instance: string, { collector, traceShare, metricsEveryMs }: TelemetryConfig) {
    const resource = resourceFromAttributes({
      'service.namespace': 'mecai',
      'service.name': service,
      'service.instance.id': instance,
    });
    const url = (path: string) => new URL(path, collector).href;
    const readers: MetricReader[] = [this.#prometheus];
    if (collector !== undefined) {
      readers.push(
        new PeriodicExportingMetricReader({
          exporter: new OTLPMetricExporter({ url: url('/v1/metrics') }),
          exportIntervalMillis: metricsEveryMs,
          exportTimeoutMillis: metricsEveryMs,
        }),
      );
    }
    const meters = new MeterProvider({ resource, readers });
    const tracers =
      collector === undefined
        ? undefined
        : new BasicTracerProvider({
            resource,
            sampler: new ParentBasedSampler({ root: new TraceIdRatioBasedSampler(traceShare) }),
            spanProcessors: [new BatchSpanProcessor(new OTLPTraceExporter({ url: url('/v1/traces') }))],
          });
    this.#meter = meters.getMeter('mecai');
    this.#tracer = tracers?.getTracer('mecai') ?? trace.getTracer('none');
    // What a collector that is away does not take is nobody's error here.
    this.#stop = () => Promise.allSettled([tracers?.shutdown(), meters.shutdown()]);
  }

  counter<Label extends string>(name: string, description: string): Count<Label> {
    // Summed up here, which costs a tenth of what the SDK takes for each count; a process has few labels.
    const sums = new Map<string, { readonly labels: Readonly<Record<Label, string>>; sum: number }>();
    /** The same, by labels in the order in which they were given. */
    const given = new Map<string, { sum: number }>();
    this.#meter.createObservableCounter(`mecai.${name}`, { description }).addCallback((result) => {
      for (const { labels, sum } of sums.values()) result.observe(sum, labels);
    });
    return (labels, by = 1) => {
      let key = '';
      for (const label in labels) key += `${label}\0${labels[label]}\0`;
      const known = given.get(key);
      if (known) {
        known.sum += by;
        return;
      }
      const names = (Object.keys(labels) as Label[]).toSorted();
      const sorted = names.map((label) => `${label}\0${labels[label]}\0`).join('');
      const counted = sums.get(sorted) ?? { labels, sum: 0 };
      counted.sum += by;
      sums.set(sorted, counted);
      given.set(key, counted);
    };
  }

  /** Durations, told in milliseconds, exported in seconds. */
  duration<Label extends string>(name: string, description: string): Duration<Label> {
    const histogram: Histogram = this.#meter.createHistogram(`mecai.${name}.seconds`, {
      description,
      unit: 's',
      advice: { explicitBucketBoundaries: secondsBounds },
    });
    return (milliseconds, labels) => histogram.record(milliseconds / 1000, labels);
  }

  /** Looked at when somebody asks for metrics. */
  gauge<Label extends string>(
    name: string,
    description: string,
    read: () =>
      | number
      | undefined
      | Iterable<readonly [value: number, labels: Readonly<Record<Label, string>>]>,
  ): void {
    this.#meter.createObservableGauge(`mecai.${name}`, { description }).addCallback((result) => {
      const values = read();
      if (values === undefined) return;
      if (typeof values === 'number') result.observe(values);
      else for (const [value, labels] of values) result.observe(value, labels);
    });
  }

  /**
   * A piece of work that is traced if its parent is; without a parent, by `traceShare`.
   *
   * @param startTime milliseconds since 1970; now by default
   */
  span(name: string, parent: Context | undefined, kind = SpanKind.INTERNAL, startTime?: number): Span {
    const start = startTime === undefined ? {} : { startTime };
    return this.#tracer.startSpan(name, { kind, ...start }, parent ?? ROOT_CONTEXT);
  }

  /** Prometheus text format 0.0.4. */
  async metrics(): Promise<string> {
    const { resourceMetrics } = await this.#prometheus.collect();
    return this.#serializer.serialize(resourceMetrics);
  }

  /** Sends what is left. */
  async stop(): Promise<void> {
    await this.#stop();
  }
}

export type Count<Label extends string> = (labels: Readonly<Record<Label, string>>, by?: number) => void;
export type Duration<Label extends string> = (
  milliseconds: number,
  labels: Readonly<Record<Label, string>>,
) => void;

/** The parent of what comes below this span; undefined where nothing is traced. */
export const below = (span: Span): Context | undefined =>
  span.isRecording() ? trace.setSpan(ROOT_CONTEXT, span) : undefined;

/** The same log, each line with the trace it belongs to. */
export function traced(log: Logger, context: Context | undefined): Logger {
  const span = context && trace.getSpanContext(context);
  return span ? log.child({ trace_id: span.traceId }) : log;
}

/** For another process, by W3C Trace Context; empty where nothing is traced. */
export function traceparentOf(span: Span): string {
  if (!span.isRecording()) return '';
  const { traceId, spanId, traceFlags } = span.spanContext();
  return `00-${traceId}-${spanId}-${traceFlags.toString(16).padStart(2, '0')}`;
}

/** What another process said; anything that is no traceparent of version 00 is no parent. */
export function parentOf(traceparent: string | undefined): Context | undefined {
  const [, traceId, spanId, flags] =
    /^00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$/.exec(traceparent ?? '') ?? [];
  if (traceId === undefined || spanId === undefined || flags === undefined) return undefined;
  if (/^0+$/.test(traceId) || /^0+$/.test(spanId)) return undefined;
  return trace.setSpanContext(ROOT_CONTEXT, {
    traceId,
    spanId,
    traceFlags: Number.parseInt(flags, 16) & TraceFlags.SAMPLED,
    isRemote: true,
  });
}

/** Ends the span with the work; a rejection is its error. */
export const within = <T>(span: Span, work: () => Promise<T>): Promise<T> =>
  span.isRecording() ? recorded(span, work) : work();

async function recorded<T>(span: Span, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    failed(span, error);
    throw error;
  } finally {
    span.end();
  }
}

export function failed(span: Span, error: unknown): void {
  span.setStatus({
    code: SpanStatusCode.ERROR,
    message: error instanceof Error ? error.message : String(error),
  });
}
