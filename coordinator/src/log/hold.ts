/**
 * When the hold of a certificate ends. No clock, no database: facts in, an answer out.
 *
 * |   | fact                                                                    | the hold ends              |
 * | - | ----------------------------------------------------------------------- | -------------------------- |
 * | 1 | a certificate with the same key is objected to                          | never: so is this one      |
 * | 2 | renewal: same key, same or fewer names, same CA as one that is cleared  | at once                    |
 * | 3 | declared in advance by the holder of a cleared certificate's key        | at once                    |
 * | 4 | SCTs of n operators of CT logs                                          | a hold after the n-th oldest |
 * | 5 | expedited by n other VAs                                                | when the n-th had said so  |
 * | 6 | approved out of band                                                    | when it was                |
 * | 7 | none of these                                                           | a hold after the first sight |
 *
 * The earliest of 2 to 7 counts, the first of the same. 3 to 6 are waivers, each in force only where it is
 * configured. What is held itself lends no trust: a renewal of it is held too.
 *
 * The hold is the longest of those that the rules give for the trust contexts of the chain: the first rule that fits
 * CA, context and requester counts. Its length is the lesser of `maxMs` and a share of the certificate's lifetime.
 */
import type { PresentedNames } from '@mecai/pki';
import { sameOrFewerNames } from './names.ts';

export interface HoldLength {
  /** Milliseconds. */
  readonly maxMs: number;
  /** Of the certificate's lifetime, 0 to 1. */
  readonly lifetimeShare: number;
}

export interface HoldRule extends HoldLength {
  /** organizationName of the issuer, as `organizationsOf` has it; without it, all. */
  readonly ca?: string | undefined;
  readonly trustContext?: string | undefined;
  readonly requester?: 'authenticated' | 'unauthenticated' | undefined;
}

export interface HoldPolicy extends HoldLength {
  readonly rules: readonly HoldRule[];
  /** Each undefined where it is off. */
  readonly waivers: {
    /** Operators. */
    readonly scts?: number | undefined;
    readonly successors: boolean;
    /** VAs. */
    readonly expedite?: number | undefined;
    readonly approvals: boolean;
  };
}

export interface HoldFacts {
  /** All times in milliseconds since 1970. */
  readonly firstRequest: number;
  readonly notBefore: number;
  readonly notAfter: number;
  readonly ca: Uint8Array;
  readonly organizations: readonly string[];
  readonly names: PresentedNames;
  /** Those that accept the chain. */
  readonly trustContexts: readonly string[];
  readonly authenticated: boolean;
  /** Other certificates in the log with the same key. */
  readonly sameKey: readonly KnownCertificate[];
  /** Cleared certificates whose keys signed that this one follows, before it was first seen. */
  readonly declaredBy: readonly KnownCertificate[];
  /** Valid ones; `who` is the operator of the log. */
  readonly scts: readonly Vouched[];
  /** Statements of other VAs. */
  readonly expedited: readonly Vouched[];
  readonly approved?: number | undefined;
}

export interface Vouched {
  readonly who: string;
  readonly at: number;
}

export const certificateStates = ['held', 'cleared', 'objected', 'expired'] as const;
export type CertificateState = (typeof certificateStates)[number];

export interface KnownCertificate {
  /** Hexadecimal. */
  readonly sha256: string;
  readonly state: CertificateState;
  readonly ca: Uint8Array;
  readonly names: PresentedNames;
}

export type HoldReason = 'objection' | 'renewal' | 'successor' | 'scts' | 'expedite' | 'approval' | 'hold';

export interface HoldEnd {
  /** `never` for `objection`. */
  readonly at: number;
  readonly by: HoldReason;
  /** The certificate that the reason rests on, hexadecimal. */
  readonly certificate?: string;
}

/** Later than any time there is; fits a bigint column. */
export const never = Number.MAX_SAFE_INTEGER;

export function holdEnd(policy: HoldPolicy, facts: HoldFacts): HoldEnd {
  const { firstRequest, names, sameKey } = facts;
  const objected = sameKey.find(({ state }) => state === 'objected');
  if (objected) return { at: never, by: 'objection', certificate: objected.sha256 };

  const length = holdLength(policy, facts);
  const { waivers } = policy;
  const covers = (known: KnownCertificate) =>
    known.state === 'cleared' && sameOrFewerNames(names, known.names);
  const renewed = sameKey.find((known) => covers(known) && Buffer.compare(known.ca, facts.ca) === 0);
  const declared = waivers.successors ? facts.declaredBy.find(covers) : undefined;
  const ends: (HoldEnd | undefined)[] = [
    renewed && { at: firstRequest, by: 'renewal', certificate: renewed.sha256 },
    declared && { at: firstRequest, by: 'successor', certificate: declared.sha256 },
    after('scts', nth(facts.scts, waivers.scts), length),
    after('expedite', nth(facts.expedited, waivers.expedite)),
    after('approval', waivers.approvals ? facts.approved : undefined),
  ];
  let earliest: HoldEnd = { at: firstRequest + length, by: 'hold' };
  // From the last to the first: of two at the same time the first remains.
  for (const end of ends.toReversed()) if (end && end.at <= earliest.at) earliest = end;
  // A waiver that is older than the certificate's first request has been there all the time.
  return { ...earliest, at: Math.max(earliest.at, firstRequest) };
}

/** Milliseconds. */
export function holdLength(policy: HoldPolicy, facts: HoldFacts): number {
  const lifetime = Math.max(facts.notAfter - facts.notBefore, 0);
  const requester = facts.authenticated ? 'authenticated' : 'unauthenticated';
  const lengths = facts.trustContexts.map((context) => {
    const rule = policy.rules.find(
      (one) =>
        (one.ca === undefined || facts.organizations.includes(one.ca)) &&
        (one.trustContext === undefined || one.trustContext === context) &&
        (one.requester === undefined || one.requester === requester),
    );
    const { maxMs, lifetimeShare } = rule ?? policy;
    return Math.min(maxMs, Math.ceil(lifetime * lifetimeShare));
  });
  // No trust context accepts it: nothing will be issued, and the general length does.
  return lengths.length > 0
    ? Math.max(...lengths)
    : Math.min(policy.maxMs, Math.ceil(lifetime * policy.lifetimeShare));
}

/** From when on so many different ones had vouched for it. */
function nth(vouched: readonly Vouched[], count: number | undefined): number | undefined {
  if (count === undefined) return undefined;
  const first = new Map<string, number>();
  for (const { who, at } of vouched) first.set(who, Math.min(at, first.get(who) ?? at));
  return [...first.values()].toSorted((a, b) => a - b)[count - 1];
}

const after = (by: HoldReason, at: number | undefined, length = 0): HoldEnd | undefined =>
  at === undefined ? undefined : { at: at + length, by };
