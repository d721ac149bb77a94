import type { ProbeFailure } from '@mecai/proto';
import { errorClasses } from '@mecai/tls-probe/prober';

/** What an observation may call its failure: the probe's classes, and what the agent itself refuses. */
export const failureClasses = [...errorClasses, 'forbidden-target', 'overloaded'] as const;
export type FailureClass = (typeof failureClasses)[number];

/** Agents may lie and be newer than their readers: a class that is none of these is not passed on. */
export const failureClassOf = ({ class: name }: ProbeFailure): FailureClass | 'unknown-failure' =>
  failureClasses.find((known) => known === name) ?? 'unknown-failure';
