/** Renewal information: the VA asks for some vouchers to be renewed early; `GET /vrp/renewal`. */
import type { Renewal } from '@mecai/proto/signer';
import {
  encodeRenewalInformation,
  mediaTypes,
  renewalLimits,
  type RenewalEntry,
  type RenewalInformation,
} from '@mecai/voucher';
import type { CoordinatorConfig } from './config.ts';
import type { Route } from './http-routes.ts';

/** What the signers want renewed, as each said last. */
export class Renewals {
  readonly #config: CoordinatorConfig['renewal'];
  readonly #renewals = new Map<string, readonly Renewal[]>();

  constructor(config: CoordinatorConfig['renewal']) {
    this.#config = config;
  }

  /** @param signer SPIFFE ID */
  set(signer: string, renewals: readonly Renewal[]): void {
    this.#renewals.set(signer, renewals);
  }

  /** The newest first, as many as the document takes. */
  get information(): RenewalInformation {
    const newest = [...this.#renewals.values()]
      .flat()
      .toSorted((a, b) => b.producedBefore - a.producedBefore);
    const wanted = new Map<string, RenewalEntry>();
    for (const one of newest) {
      // One command reaches the signers one after the other: the last of them counts.
      const subject = JSON.stringify(one.about ?? null);
      if (!wanted.has(subject)) wanted.set(subject, this.#entry(one));
    }
    return { entries: [...wanted.values()].slice(0, renewalLimits.entries) };
  }

  /** Requesters come at random moments of a window, or they would come all at once. */
  #entry({ producedBefore, about }: Renewal): RenewalEntry {
    // Vouchers name whole seconds: one of the second in which it happened is renewed, too.
    const start = Math.ceil(producedBefore / 1_000) * 1_000;
    return {
      producedBefore: new Date(start),
      ...(about && { about: selected(about) }),
      start: new Date(start),
      end: new Date(start + this.#config.windowSeconds * 1_000),
    };
  }

  get route(): Route {
    const { pollSeconds } = this.#config;
    return {
      method: 'GET',
      path: '/vrp/renewal',
      handle: () => ({
        type: mediaTypes.json,
        // As in RFC 9773 section 4.3.2: when to ask again. Caches may answer for us in between.
        headers: { 'retry-after': String(pollSeconds), 'cache-control': 'public, max-age=10' },
        body: `${encodeRenewalInformation(this.information)}\n`,
      }),
    };
  }
}

function selected(about: NonNullable<Renewal['about']>): NonNullable<RenewalEntry['about']> {
  switch (about.$case) {
    case 'certificate':
      return { selector: 'certificate', sha256: about.certificate };
    case 'spki':
      return { selector: 'spki', sha256: about.spki };
    case 'issuer':
      return { selector: 'issuer', sha256: about.issuer };
    default:
      return about satisfies never;
  }
}
