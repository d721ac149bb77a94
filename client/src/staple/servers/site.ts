/** What a web server's configuration says about TLS, whichever server it is. */

export interface Place {
  readonly file: string;
  readonly line: number;
}

/** Address and port as written, for one listening socket. */
export interface Listen {
  /** A literal address; `0.0.0.0`, `::` and `*` for all of IPv4, of IPv6, of both; absent if it is something else. */
  readonly address?: string;
  readonly port: number;
  /** As written. */
  readonly text: string;
  /** Said in so many words: connections that name nobody known come here. */
  readonly isDefault: boolean;
}

export interface KeyPair {
  /** PEM, leaf first. */
  readonly certificate: string;
  readonly key: string;
  /** More certificates, in a file of their own (Apache's SSLCertificateChainFile). */
  readonly chain?: string;
}

/** One virtual server that speaks TLS. */
export interface Site {
  readonly place: Place;
  /** As written, wildcards and all, without patterns. */
  readonly names: readonly string[];
  readonly listens: readonly Listen[];
  readonly keyPairs: readonly KeyPair[];
  /** In the order in which the server loads them; each goes with the key pair before it. */
  readonly serverInfoFiles: readonly (Place & { readonly path: string; readonly keyPair: number })[];
  /** Versions allowed, such as `TLSv1.3`; absent: the server's defaults. */
  readonly protocols?: readonly string[];
  readonly ocsp: OcspStapling;
  /** Directory that `/.well-known/mecai/` is served from. */
  readonly wellKnown?: string;
}

export interface OcspStapling {
  readonly on: boolean;
  /** nginx: the response is this file. */
  readonly file?: string;
  /** A responder asked in place of the certificate's. */
  readonly responder?: string;
}

/** Something in the configuration that this reader does not know what to make of. */
export interface Unread extends Place {
  readonly why: string;
}

export interface ServerConfiguration {
  readonly kind: 'nginx' | 'apache';
  readonly sites: readonly Site[];
  readonly unread: readonly Unread[];
}
