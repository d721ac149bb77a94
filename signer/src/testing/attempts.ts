/** What a coordinator does, in one line each, and what becomes of it. */
import type { SignedObservation } from '@mecai/proto';
import type { Drawn, Subject } from '@mecai/proto/signer';
import { RefusedError, refusalName } from '../refusal.ts';
import { type Observed, type World, coordinator, observe, subjectOf } from './world.ts';

export const second = 1000;

/** `issued`, or the name of the refusal. */
export async function outcome(action: () => unknown): Promise<string> {
  try {
    await action();
    return 'issued';
  } catch (error) {
    if (error instanceof RefusedError) return refusalName(error.refused.code);
    throw error;
  }
}

export async function refusal(action: () => unknown): Promise<RefusedError['refused']> {
  try {
    await action();
  } catch (error) {
    if (error instanceof RefusedError) return error.refused;
    throw error;
  }
  throw new Error('not refused');
}

export const drawing = (world: World, changes: Partial<Subject> = {}, who = coordinator) =>
  outcome(() => world.issuance.draw(subjectOf(changes), who));
export const drawn = (world: World, changes: Partial<Subject> = {}): Drawn =>
  world.issuance.draw(subjectOf(changes), coordinator);
export const issue = (
  world: World,
  { nonce }: Pick<Drawn, 'nonce'>,
  evidence: readonly SignedObservation[],
) => world.issuance.issue(nonce, evidence, coordinator);

/** Evidence of the first `matching` agents drawn, for every target; the rest as `others` makes it. */
export const evidence = (
  draw: Drawn,
  matching: number,
  others: (agent: string, at: number) => SignedObservation[] = () => [],
) =>
  draw.targets.flatMap((_, at) =>
    draw.agents.flatMap((agent, i) => (i < matching ? [observe(agent, draw, { at })] : others(agent, at))),
  );
/** Four good ones are needed; the fourth is changed. */
export const fourthChanged = (draw: Drawn, changes: Observed) =>
  evidence(draw, 3, (agent) => (agent === draw.agents[3] ? [observe(agent, draw, changes)] : []));
