/** What a trust context asks of a chain below one of its anchors. */
import type { Certificate } from './certificate.ts';
import { type Fault, fault } from './fault.ts';
import type { GeneralNames } from './general-names.ts';
import { dnsWithin } from './name-constraints.ts';
import type { Sct } from './sct.ts';
import type { ConstraintSet, TrustAnchor } from './trust-context.ts';

/** The leaf as constraints see it. */
export interface ConstrainedLeaf {
  readonly certificate: Certificate;
  readonly names: GeneralNames | undefined;
  /** The SCTs that count: verified ones where log keys are configured, otherwise all. Asked for only if needed. */
  readonly scts: () => readonly Sct[];
  /** There may be more than these. */
  readonly sctsMayFollow?: boolean;
}

/** The fault of the last set when none of them holds. */
export function anchorFault(anchor: TrustAnchor, leaf: ConstrainedLeaf): Fault | undefined {
  if (!anchor.constraints) return undefined;
  let last = broken('the anchor serves no TLS servers');
  for (const set of anchor.constraints) {
    const found = setFault(set, leaf);
    if (!found) return undefined;
    last = found;
  }
  return last;
}

function setFault(set: ConstraintSet, leaf: ConstrainedLeaf): Fault | undefined {
  const { notBefore } = leaf.certificate;
  if (set.notBeforeUntil && notBefore > set.notBeforeUntil) {
    return broken(`issued ${notBefore.toISOString()}, after ${set.notBeforeUntil.toISOString()}`);
  }
  if (set.notBeforeAfter && notBefore <= set.notBeforeAfter) {
    return broken(`issued ${notBefore.toISOString()}, not after ${set.notBeforeAfter.toISOString()}`);
  }
  const { sctUntil, sctAllAfter } = set;
  if (sctUntil && !leaf.scts().some((sct) => sct.timestamp <= sctUntil) && !leaf.sctsMayFollow) {
    return broken(`no SCT from before ${sctUntil.toISOString()}`);
  }
  if (sctAllAfter) {
    const scts = leaf.scts();
    const none = scts.length === 0 && !leaf.sctsMayFollow;
    if (none || scts.some((sct) => sct.timestamp <= sctAllAfter)) {
      return broken(`not all SCTs from after ${sctAllAfter.toISOString()}`);
    }
  }
  const { permittedDnsNames } = set;
  if (permittedDnsNames) {
    const outside = (leaf.names?.dns ?? []).find(
      (name) => !permittedDnsNames.some((tree) => dnsWithin(name, tree.toLowerCase())),
    );
    if (outside !== undefined) return broken(`${outside} is not in ${permittedDnsNames.join(', ')}`);
  }
  return undefined;
}

const broken = (detail: string) => fault('anchor-constraint', 'root program', detail);
