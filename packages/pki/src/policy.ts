/**
 * Certificate policies along a path (RFC 5280 section 6.1), for a relying party to whom every policy is
 * acceptable: all that can fail then is that a CA requires an explicit policy and none is left. Of the policy
 * tree only the lowest level matters for that (RFC 9618 keeps it just as small).
 */
import type { Certificate } from './certificate.ts';
import * as read from './extensions.ts';

const anyPolicy = '2.5.29.32.0';

/** Policies valid at one depth, each with the policies expected below; undefined once none is left. */
type Level = Map<string, ReadonlySet<string>> | undefined;

export interface PolicyStep {
  readonly certificate: Certificate;
  readonly selfIssued: boolean;
}

/** Whether these certificates, the topmost below the anchor first and the leaf last, have a policy if they must. */
export function policyHolds(steps: readonly PolicyStep[]): boolean {
  let level: Level = new Map([[anyPolicy, new Set([anyPolicy])]]);
  // Counted down to zero, at which they are in force (RFC 5280 section 6.1.2).
  let explicit = steps.length + 1;
  let mapping = steps.length + 1;
  let inhibitAny = steps.length + 1;
  for (const [index, { certificate, selfIssued }] of steps.entries()) {
    const last = index === steps.length - 1;
    const anyCounts = inhibitAny > 0 || (!last && selfIssued);
    level = level && descend(level, read.certificatePolicies(certificate), anyCounts);
    if (explicit === 0 && !level) return false;
    const constraints = read.policyConstraints(certificate);
    if (last) {
      if (explicit > 0) explicit--;
      if (constraints?.requireExplicitPolicy === 0) explicit = 0;
      break;
    }
    const mappings = read.policyMappings(certificate);
    if (mappings) level = level && map(level, mappings, mapping > 0);
    if (!selfIssued) {
      explicit = Math.max(0, explicit - 1);
      mapping = Math.max(0, mapping - 1);
      inhibitAny = Math.max(0, inhibitAny - 1);
    }
    explicit = Math.min(explicit, constraints?.requireExplicitPolicy ?? explicit);
    mapping = Math.min(mapping, constraints?.inhibitPolicyMapping ?? mapping);
    inhibitAny = Math.min(inhibitAny, read.inhibitAnyPolicy(certificate) ?? inhibitAny);
  }
  return explicit > 0 || level !== undefined;
}

/** RFC 5280 section 6.1.3 (d) and (e). */
function descend(
  level: NonNullable<Level>,
  policies: readonly string[] | undefined,
  anyCounts: boolean,
): Level {
  if (!policies) return undefined;
  const expected = new Set([...level.values()].flatMap((set) => [...set]));
  const next = new Map<string, ReadonlySet<string>>();
  for (const policy of policies) {
    if (policy !== anyPolicy && (expected.has(policy) || level.has(anyPolicy)))
      next.set(policy, new Set([policy]));
  }
  if (policies.includes(anyPolicy) && anyCounts) {
    for (const policy of expected) if (!next.has(policy)) next.set(policy, new Set([policy]));
  }
  return next.size > 0 ? next : undefined;
}

/** RFC 5280 section 6.1.4 (b). A mapping of anyPolicy, (a), has been refused with its certificate. */
function map(
  level: NonNullable<Level>,
  mappings: readonly (readonly [string, string])[],
  allowed: boolean,
): Level {
  const next = new Map(level);
  const targets = new Map<string, Set<string>>();
  for (const [from, to] of mappings) {
    const set = targets.get(from) ?? new Set();
    targets.set(from, set.add(to));
  }
  for (const [from, to] of targets) {
    if (!allowed) next.delete(from);
    else if (next.has(from) || next.has(anyPolicy)) next.set(from, to);
  }
  return next.size > 0 ? next : undefined;
}
