import { expect } from 'vitest';
import { ProbeFailure } from '../failure.ts';
import type { Handshake } from '../handshake.ts';
import { type Script, serverFlight } from './scripted-server.ts';
import { startHandshake } from './setup.ts';

/** Runs one handshake against a script, in one chunk. */
export function run(script: Script, handshake: Handshake = startHandshake()): Handshake {
  handshake.receive(serverFlight(script, handshake.takeFlight()!));
  return handshake;
}

/** What a handshake against this script fails with. */
export function failure(script: Script, handshake: Handshake = startHandshake()): ProbeFailure {
  try {
    run(script, handshake);
  } catch (error) {
    if (error instanceof ProbeFailure) return error;
    throw error;
  }
  throw new Error('the handshake went through');
}

/** Matches a failure of this class that owes the server this alert. */
export const fails = (code: string, owedAlert?: number): unknown =>
  expect.objectContaining({ code, owedAlert });
