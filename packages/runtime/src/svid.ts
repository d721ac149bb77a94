/**
 * This process's X.509-SVID and the CAs it trusts, for gRPC over mTLS. They change while the process runs: SVIDs live
 * for an hour or so. New connections use what is current, open ones stay.
 */
import { X509Certificate, createPrivateKey } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { type ChannelCredentials, type ServerCredentials, experimental } from '@grpc/grpc-js';
import type * as z from 'zod';
import { RuntimeError } from './error.ts';
import { type Logger, createLogger } from './process.ts';
import { type mutualTls, spiffeIdOf } from './spiffe.ts';
import { WorkloadApi } from './workload-api.ts';

/** PEM. */
export interface SvidMaterial {
  readonly certificate: Buffer;
  readonly key: Buffer;
  readonly ca: Buffer;
}

/** Where SVIDs come from. */
export interface SvidSource {
  /** Calls back with each SVID, the first included; what is no SVID is a thrown error, and the last one stays. */
  watch(take: (material: SvidMaterial) => void, trouble: (error: unknown) => void): () => void;
}

type CaListener = experimental.CaCertificateUpdateListener;
type IdentityListener = experimental.IdentityCertificateUpdateListener;

/** How often files are looked at, milliseconds. */
const lookEveryMs = 1_000;

export class Svid implements experimental.CertificateProvider {
  readonly #cas = new Set<CaListener>();
  readonly #identities = new Set<IdentityListener>();
  readonly #stop: () => void;
  #current: SvidMaterial | undefined;

  private constructor(source: SvidSource, log: Logger) {
    this.#stop = source.watch(
      (material) => {
        const id = checked(material);
        if (this.#current) log.info({ id, expires: expiryOf(material) }, 'SVID rotated');
        this.#current = material;
        for (const listener of this.#cas) this.#tellCas(listener);
        for (const listener of this.#identities) this.#tellIdentity(listener);
      },
      (error) =>
        log.warn({ err: error, expires: this.#current && expiryOf(this.#current) }, 'SVID not renewed'),
    );
  }

  /**
   * @param configured PEM files, watched; or the socket of a SPIFFE Workload API
   * @throws RuntimeError `bad-configuration` when files hold no SVID at the start
   */
  static of(configured: z.output<ReturnType<typeof mutualTls>>, log: Logger): Svid {
    return new Svid(
      'workloadApi' in configured ? new WorkloadApi(configured.workloadApi) : new Files(configured),
      log,
    );
  }

  /** One that does not change. */
  static fixed(material: SvidMaterial): Svid {
    const source: SvidSource = {
      watch: (take) => {
        take(material);
        return () => undefined;
      },
    };
    return new Svid(source, createLogger('svid', 'silent'));
  }

  /** Of a server whose clients have to show an SVID; who they may be is for the caller to say. */
  serverCredentials(): ServerCredentials {
    return experimental.createCertificateProviderServerCredentials(this, this, true);
  }

  /** Of a client that speaks to nobody but `server`, a SPIFFE ID. */
  clientCredentials(server: string): ChannelCredentials {
    return experimental.createCertificateProviderChannelCredentials(this, this, {
      // The SPIFFE ID takes the place of the host name (SPIFFE X509-SVID section 5).
      checkServerIdentity: (_, { raw }) => {
        const shown = spiffeIdOf(raw);
        return shown === server ? undefined : new Error(`${shown ?? 'no SPIFFE ID'} is shown, not ${server}`);
      },
    });
  }

  // A listener is called after it was added: before that, grpc-js does not listen yet.
  addCaCertificateListener(listener: CaListener): void {
    this.#cas.add(listener);
    process.nextTick(() => this.#tellCas(listener));
  }

  removeCaCertificateListener(listener: CaListener): void {
    this.#cas.delete(listener);
  }

  addIdentityCertificateListener(listener: IdentityListener): void {
    this.#identities.add(listener);
    process.nextTick(() => this.#tellIdentity(listener));
  }

  removeIdentityCertificateListener(listener: IdentityListener): void {
    this.#identities.delete(listener);
  }

  #tellCas(listener: CaListener): void {
    if (this.#current) listener({ caCertificate: this.#current.ca });
  }

  #tellIdentity(listener: IdentityListener): void {
    if (!this.#current) return;
    const { certificate, key: privateKey } = this.#current;
    listener({ certificate, privateKey });
  }

  close(): void {
    this.#stop();
  }
}

/** Three PEM files. A rotation writes them one after the other: what does not fit together yet is looked at again. */
class Files implements SvidSource {
  readonly #files: { readonly certificate: string; readonly key: string; readonly ca: string };

  constructor(files: { readonly certificate: string; readonly key: string; readonly ca: string }) {
    this.#files = files;
  }

  watch(take: (material: SvidMaterial) => void, trouble: (error: unknown) => void): () => void {
    let before = this.#read();
    take(before);
    // One message for one trouble.
    let told = '';
    const looking = setInterval(() => {
      try {
        const now = this.#read();
        if ((['certificate', 'key', 'ca'] as const).every((part) => now[part].equals(before[part]))) return;
        take(now);
        before = now;
        told = '';
      } catch (error) {
        const message = String(error);
        if (message !== told) trouble(error);
        told = message;
      }
    }, lookEveryMs).unref();
    return () => clearInterval(looking);
  }

  #read(): SvidMaterial {
    try {
      const { certificate, key, ca } = this.#files;
      return { certificate: readFileSync(certificate), key: readFileSync(key), ca: readFileSync(ca) };
    } catch (cause) {
      throw new RuntimeError('unreadable-file', (cause as Error).message, { cause });
    }
  }
}

/** @throws RuntimeError `bad-configuration` */
function checked({ certificate, key, ca }: SvidMaterial): string {
  try {
    const leaf = new X509Certificate(certificate);
    const id = spiffeIdOf(leaf.raw);
    if (id === undefined) throw new TypeError('no X.509-SVID of a workload');
    if (!leaf.checkPrivateKey(createPrivateKey(key)))
      throw new TypeError('another key than the certificate’s');
    // Read for its errors alone.
    void new X509Certificate(ca);
    return id;
  } catch (cause) {
    throw new RuntimeError('bad-configuration', `SVID: ${(cause as Error).message}`, { cause });
  }
}

const expiryOf = ({ certificate }: SvidMaterial) =>
  new X509Certificate(certificate).validToDate.toISOString();
