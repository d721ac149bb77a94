/**
 * The JetStream streams, and what happens when they are full:
 *
 * | stream       | kept                      | when full                                                    |
 * | ------------ | ------------------------- | ------------------------------------------------------------ |
 * | OBSERVATIONS | until analytics stored it | refuses: an observation is lost only if never acknowledged   |
 * | RECORDS      | by age and size           | drops the oldest: issuance never waits for a reader          |
 * | DEAD_LETTERS | by age and size           | drops the oldest                                             |
 *
 * An acknowledged message lies in the files of a majority of the replicas: it outlives SIGKILL and the loss of any one
 * node of three. It outlives a power cut of them all once synced, which servers before 2.10 do every two minutes and
 * later ones as often as `sync_interval` says.
 */
import type { JetStreamManager, StreamConfig } from '@nats-io/jetstream';
import { streams } from './subjects.ts';

/** What analytics cannot store goes to `mecai.dead-letter.<name>`, with the reason in its headers. */
export const deadLetters = {
  name: 'DEAD_LETTERS',
  subjects: ['mecai.dead-letter.>'],
  subject: (name: string) => `mecai.dead-letter.${name}`,
} as const;

/** Sizes in bytes, ages in milliseconds. */
export interface StreamLimits {
  readonly observationBytes: number;
  readonly recordBytes: number;
  readonly recordAgeMs: number;
  readonly deadLetterBytes: number;
  readonly deadLetterAgeMs: number;
  /** Within this time a message with the `Nats-Msg-Id` of an earlier one is acknowledged but not stored again. */
  readonly duplicateWindowMs: number;
  /** Nodes that hold each message: 1, or 3 or 5 in a cluster. */
  readonly replicas: number;
}

const day = 86_400_000;
const GiB = 2 ** 30;

/** The server reserves the bytes: its `max_file` has to be larger than their sum. */
export const defaultStreamLimits: StreamLimits = {
  observationBytes: 4 * GiB,
  recordBytes: 4 * GiB,
  recordAgeMs: 30 * day,
  deadLetterBytes: GiB / 16,
  deadLetterAgeMs: 30 * day,
  duplicateWindowMs: 120_000,
  replicas: 1,
};

type Wanted = Partial<StreamConfig> & { name: string };

const nanoseconds = (ms: number) => ms * 1_000_000;

export function streamConfigs(limits: StreamLimits): readonly Wanted[] {
  const common = {
    // Only the types of @nats-io/jetstream are used here: its enumerations are spelt out.
    storage: 'file' as StreamConfig['storage'],
    num_replicas: limits.replicas,
    duplicate_window: nanoseconds(limits.duplicateWindowMs),
  };
  const byAge = {
    retention: 'limits' as StreamConfig['retention'],
    discard: 'old' as StreamConfig['discard'],
  };
  return [
    {
      ...common,
      name: streams.observations.name,
      subjects: [...streams.observations.subjects],
      retention: 'workqueue',
      discard: 'new',
      max_bytes: limits.observationBytes,
    },
    {
      ...common,
      ...byAge,
      name: streams.records.name,
      subjects: [...streams.records.subjects],
      max_bytes: limits.recordBytes,
      max_age: nanoseconds(limits.recordAgeMs),
    },
    {
      ...common,
      ...byAge,
      name: deadLetters.name,
      subjects: [...deadLetters.subjects],
      max_bytes: limits.deadLetterBytes,
      max_age: nanoseconds(limits.deadLetterAgeMs),
    },
  ];
}

/** STREAM_NOT_FOUND of the JetStream API. */
const notFound = 10059;
/** STREAM_NAME_EXIST: another process was faster, or an operator chose other settings in between. */
const exists = 10058;

/** What a stream that was there has less of than is wanted. */
export interface Shortfall {
  readonly stream: string;
  readonly limit: 'replicas' | 'duplicateWindowMs';
  readonly has: number;
  readonly wanted: number;
}

/**
 * Creates the streams that are absent; those present are left as the operator made them. `only` names those the
 * caller may touch; its right to publish on `$JS.API.STREAM.*` decides (see permissions.ts).
 *
 * @returns what those present lack: replicas, and memory of message ids
 * @throws JetStreamApiError when a stream can be neither found nor created
 */
export async function ensureStreams(
  jsm: JetStreamManager,
  {
    limits = {},
    only = [streams.observations.name, streams.records.name],
  }: { limits?: Partial<StreamLimits>; only?: readonly string[] } = {},
): Promise<Shortfall[]> {
  const found: Shortfall[] = [];
  for (const wanted of streamConfigs({ ...defaultStreamLimits, ...limits })) {
    if (!only.includes(wanted.name)) continue;
    try {
      const { config } = await jsm.streams.info(wanted.name);
      const lacks = (limit: Shortfall['limit'], has: number, want: number) => {
        if (has < want) found.push({ stream: wanted.name, limit, has, wanted: want });
      };
      lacks('replicas', config.num_replicas, wanted.num_replicas!);
      lacks('duplicateWindowMs', config.duplicate_window / 1e6, wanted.duplicate_window! / 1e6);
    } catch (error) {
      if (apiCode(error) !== notFound) throw error;
      await jsm.streams.add(wanted).catch((refused: unknown) => {
        if (apiCode(refused) !== exists) throw refused;
      });
    }
  }
  return found;
}

const apiCode = (error: unknown): unknown =>
  typeof error === 'object' && error !== null && 'code' in error ? error.code : undefined;
