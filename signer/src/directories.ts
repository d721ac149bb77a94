/** The versions of the perspective directory. The audit log is their memory, as of the distrust list. */
import { type QuorumPolicy, type Registry, allowedNonCorroborations } from '@mecai/corroboration';
import {
  type Directory,
  VoucherError,
  encodeDirectory,
  parseDirectory,
  prepareDirectory,
} from '@mecai/voucher';
import type { AuditRecord } from './audit-log.ts';
import { sha256 } from './digest.ts';
import { SignerError } from './error.ts';
import type { VaChain } from './va-chain.ts';
import { statedQuorum } from './voucher-content.ts';

/** What is published of the configuration. */
export interface Published {
  readonly registry: Registry;
  readonly policy: QuorumPolicy;
  readonly trustContexts: readonly string[];
}

const event = 'directory-published';

export class Directories {
  /** Payloads by version, in the order of publication. */
  readonly #payloads = new Map<number, Uint8Array>();
  /** By who signed them, then by version. */
  readonly #documents = new WeakMap<VaChain, Map<number, Uint8Array>>();
  #latest: Directory | undefined;

  /** @throws SignerError `audit-log-broken` */
  replay(record: unknown): void {
    const found: { event?: unknown; sequence?: unknown; payload?: unknown } = Object(record);
    if (found.event !== event) return;
    try {
      this.#add(Buffer.from(String(found.payload)));
    } catch (cause) {
      const what = `record ${String(found.sequence)}: ${event} cannot be read`;
      throw new SignerError('audit-log-broken', what, { cause });
    }
  }

  /**
   * Puts a new version on record if anything in it has changed: a version never changes once it was published,
   * since vouchers name it. It is that of the registry where that has risen too.
   *
   * @returns the version in force; 0 while there is none
   * @throws SignerError `unusable-configuration`
   */
  async publish(
    published: Published,
    now: Date,
    audit: (record: AuditRecord) => Promise<unknown>,
  ): Promise<number> {
    const latest = this.#latest;
    // Before the first agent has joined there is nothing to tell, and no voucher to name it.
    if (published.registry.agents.size === 0) return latest?.version ?? 0;
    if (latest && Buffer.compare(encoded(published, latest), this.#payloads.get(latest.version)!) === 0) {
      return latest.version;
    }
    const { version: own } = published.registry;
    const version = latest ? Math.max(own, latest.version + 1) : own;
    const previous = latest && {
      version: latest.version,
      digest: sha256(this.#payloads.get(latest.version)!),
    };
    const payload = encoded(published, { version, publishedAt: now, ...(previous && { previous }) });
    await audit({ event, version, payload: Buffer.from(payload).toString() });
    this.#add(payload);
    return version;
  }

  /**
   * The document of a version, the latest for 0. The digests that link the versions are of what was said, not of
   * how it was signed: so each is signed with the VA certificate of today.
   *
   * @param sign ECDSA, DER Ecdsa-Sig-Value
   */
  document(version: number, va: VaChain, sign: (bytes: Uint8Array) => Uint8Array): Uint8Array | undefined {
    const wanted = version === 0 ? this.#latest?.version : version;
    const payload = wanted === undefined ? undefined : this.#payloads.get(wanted);
    if (wanted === undefined || !payload) return undefined;
    const documents = this.#documents.get(va) ?? new Map<number, Uint8Array>();
    this.#documents.set(va, documents);
    const known = documents.get(wanted);
    if (known) return known;
    const prepared = prepareDirectory(payload, [va.certificate, ...va.intermediates]);
    const document = Buffer.from(prepared.finish(sign(prepared.toBeSigned)));
    documents.set(wanted, document);
    return document;
  }

  #add(payload: Uint8Array): void {
    const directory = parseDirectory(payload);
    this.#payloads.set(directory.version, payload);
    this.#latest = directory;
  }
}

/** A place is told to whole degrees: an agent's operator shall not become findable. */
function encoded(
  { registry, policy, trustContexts }: Published,
  { version, publishedAt, previous }: Pick<Directory, 'version' | 'publishedAt' | 'previous'>,
): Uint8Array {
  const asked = policy.perspectives;
  try {
    return encodeDirectory({
      version,
      publishedAt,
      ...(previous && { previous }),
      quorum: statedQuorum(policy, asked, asked - allowedNonCorroborations(asked)),
      trustContexts,
      perspectives: Array.from(
        registry.agents.values(),
        ({ country, city, latitude, longitude, rir, asn }) => ({
          country,
          city,
          latitude: Math.round(latitude),
          longitude: Math.round(longitude),
          rir,
          asn,
        }),
      ),
    });
  } catch (cause) {
    if (!(cause instanceof VoucherError)) throw cause;
    throw unusable(`no perspective directory could be made: ${cause.message}`, cause);
  }
}

const unusable = (why: string, cause?: unknown) => new SignerError('unusable-configuration', why, { cause });
