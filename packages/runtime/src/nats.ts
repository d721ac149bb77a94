/** How every process of this project treats its NATS servers; options of `connect` of @nats-io. */
import * as z from 'zod';

/** A server that says nothing for so long, in milliseconds, counts as gone. */
export const silentMs = () => z.number().int().min(300).max(60_000).default(3_000);

/** For one server to answer, with TLS and all. */
const connectWithinMs = 2_000;
const pings = 2;

export interface NatsPatience {
  readonly timeout: number;
  readonly maxReconnectAttempts: number;
  readonly reconnectTimeWait: number;
  readonly pingInterval: number;
  readonly maxPingOut: number;
  readonly noAsyncTraces: boolean;
}

/** Reconnects for ever, and notices silence in time. */
export const natsPatience = (silentForMs: number): NatsPatience => ({
  timeout: connectWithinMs,
  maxReconnectAttempts: -1,
  reconnectTimeWait: 250,
  // Given up when the next one would be due.
  pingInterval: Math.ceil(silentForMs / (pings + 1)),
  maxPingOut: pings,
  // Traces of every publish cost more than they tell.
  noAsyncTraces: true,
});
