/**
 * CRLs and OCSP responses that coordinators have handed in. Each is verified here against the issuer from a
 * validated path before it counts; an older one never replaces a newer one.
 */
import {
  type CertificateStatus,
  type Crl,
  type OcspVerdict,
  PkiError,
  assertCurrent,
  covers,
  crlScopeKey,
  parseCrlInSlices,
  statusFrom,
  verifyCrl,
  verifyOcsp,
} from '@mecai/pki';
import { sha256, sha256Hex } from './digest.ts';
import type { Link } from './link.ts';
import { NewestCrls } from './newest-crls.ts';

export interface EvidenceLimits {
  /** Octets of CRLs and responses kept; what was not asked for longest goes first. */
  readonly octets: number;
}

interface Kept {
  readonly octets: number;
  readonly forget: () => void;
}

/** What a response takes in memory beside its octets. */
const overhead = 1_024;

export class RevocationEvidence {
  readonly #limits: EvidenceLimits;
  readonly #newest: NewestCrls;
  /** By issuer, then by scope. */
  readonly #crls = new Map<string, Map<string, Crl>>();
  /** By certificate and issuer. */
  readonly #responses = new Map<string, OcspVerdict>();
  /** In the order of last use. */
  readonly #kept = new Map<string, Kept>();
  #octets = 0;

  /** @param newest remembers more than is kept here, and for longer */
  constructor(limits: EvidenceLimits, newest: NewestCrls = NewestCrls.inMemory()) {
    this.#limits = limits;
    this.#newest = newest;
  }

  get size(): number {
    return this.#kept.size;
  }

  get octets(): number {
    return this.#octets;
  }

  /**
   * @returns false for what is known already or older than what is known
   * @throws PkiError what is not a current CRL of the issuer about the certificate
   */
  async addCrl(der: Uint8Array, link: Link, now: () => Date): Promise<boolean> {
    const digest = sha256(der);
    const known = [...(this.#crls.get(link.issuerHash)?.values() ?? [])];
    if (known.some((crl) => digest.equals(crl.sha256))) return false;
    const crl = await parseCrlInSlices(der);
    const ofIssuer = this.#crls.get(link.issuerHash);
    if (!covers(crl, link.certificate)) throw new PkiError('unverified', 'CRL: about other certificates');
    verifyCrl(crl, link.issuer);
    assertCurrent(crl, now());
    const scope = crlScopeKey(crl);
    const source = `${sha256Hex(Buffer.concat([link.issuer.subject, link.issuer.spki]))} ${scope}`;
    if (this.#newest.isOld(source, crl)) return false;
    this.#newest.note(source, crl);
    const crls = ofIssuer ?? new Map<string, Crl>();
    const key = `${link.issuerHash} ${scope}`;
    this.#forget(key);
    crls.set(scope, crl);
    this.#crls.set(link.issuerHash, crls);
    this.#keep(key, {
      // Its entries are indexed.
      octets: der.length * 2 + overhead,
      forget: () => {
        crls.delete(scope);
        if (crls.size === 0) this.#crls.delete(link.issuerHash);
      },
    });
    return true;
  }

  /**
   * @returns false for what is known already or older than what is known
   * @throws PkiError what is not a current response about the certificate
   */
  addOcsp(der: Uint8Array, link: Link, now: Date): boolean {
    const key = responseKey(link);
    const known = this.#responses.get(key);
    if (known && Buffer.compare(known.der, der) === 0) return false;
    // A response must not keep the whole message alive that it came in.
    const verdict = verifyOcsp(Uint8Array.from(der), link.certificate, link.issuer, now);
    if (verdict.status === 'unknown')
      throw new PkiError('unverified', 'OCSP: the responder does not know it');
    if (known && verdict.thisUpdate < known.thisUpdate) return false;
    // Of responses only those are remembered for longer that revoke: there is one for each certificate.
    const statement = { number: 0n, thisUpdate: verdict.thisUpdate };
    if (this.#newest.isOld(key, statement)) return false;
    if (verdict.status === 'revoked') this.#newest.note(key, statement);
    this.#forget(key);
    this.#responses.set(key, verdict);
    this.#keep(key, {
      octets: der.length + overhead,
      forget: () => this.#responses.delete(key),
    });
    return true;
  }

  /** What the evidence says now. Whoever was revoked by what has expired since is still revoked. */
  status(link: Link, now: Date): CertificateStatus {
    const verdict = this.#responses.get(responseKey(link));
    if (verdict) this.#touch(responseKey(link));
    const documents = { responses: verdict ? [verdict] : [], crls: this.#covering(link), problems: [] };
    return statusFrom(link.certificate, documents, now);
  }

  #covering({ certificate, issuerHash, points }: Link): Crl[] {
    const found: Crl[] = [];
    for (const [scope, crl] of this.#crls.get(issuerHash) ?? []) {
      // A CA may have hundreds of partitions: the cheap question first.
      const uris = crl.scope?.name ? crl.scope.uris : undefined;
      if (uris && uris.length > 0 && !points.some((point) => point.uris.some((uri) => uris.includes(uri))))
        continue;
      if (!covers(crl, certificate)) continue;
      this.#touch(`${issuerHash} ${scope}`);
      found.push(crl);
    }
    return found;
  }

  #keep(key: string, kept: Kept): void {
    this.#kept.set(key, kept);
    this.#octets += kept.octets;
    for (const oldest of this.#kept.keys()) {
      if (this.#octets <= this.#limits.octets || oldest === key) return;
      this.#forget(oldest);
    }
  }

  #forget(key: string): void {
    const kept = this.#kept.get(key);
    if (!kept) return;
    this.#kept.delete(key);
    this.#octets -= kept.octets;
    kept.forget();
  }

  #touch(key: string): void {
    const kept = this.#kept.get(key)!;
    this.#kept.delete(key);
    this.#kept.set(key, kept);
  }
}

const responseKey = ({ certificateHash, issuerHash }: Link) => `${certificateHash} by ${issuerHash}`;
