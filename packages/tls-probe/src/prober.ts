import type { StartTlsProtocol } from '@mecai/addresses';

export { startTlsProtocols, type StartTlsProtocol } from '@mecai/addresses';

/** What one perspective sees at one endpoint. The contract between the probe and its users. */
export interface ProbeTarget {
  /** Literal IPv4 or IPv6 address; never resolved. */
  readonly address: string;
  readonly port: number;
  /** Sent as SNI (RFC 6066 section 3), an A-label host name; absent: no SNI is sent. */
  readonly serverName?: string;
  readonly startTls?: StartTlsProtocol;
}

/** Restricts the signature algorithms offered, so that a server with two certificates shows one. */
export type KeyType = 'rsa' | 'ecdsa' | 'any';

export interface ProbeOptions {
  readonly keyType?: KeyType;
  readonly alpn?: readonly string[];
  /** TLS extension types sent empty in the ClientHello; what the server answers is reported. */
  readonly extensions?: readonly number[];
  /** Source address to bind. */
  readonly localAddress?: string;
  /** Stop once possession of the key is proven instead of finishing (TLS 1.3 only). Default false. */
  readonly stopEarly?: boolean;
  /** Milliseconds, each phase; the defaults are `defaultLimits`. */
  readonly limits?: Partial<ProbeLimits>;
}

export interface ProbeLimits {
  /** TCP connect, milliseconds. */
  readonly connectMs: number;
  /** STARTTLS preamble, milliseconds. */
  readonly preambleMs: number;
  /** ClientHello to the end, milliseconds. */
  readonly handshakeMs: number;
  /** Bytes read from the server, in all. */
  readonly bytes: number;
  readonly records: number;
  readonly certificates: number;
}

export const errorClasses = [
  /** The port answered that nobody listens. */
  'refused',
  /** No route, or a router said so. */
  'unreachable',
  /** A deadline of `ProbeLimits` passed, in that phase. */
  'timeout-connect',
  'timeout-preamble',
  'timeout-handshake',
  /** The connection was reset. */
  'reset',
  /** The server ended the connection, or sent close_notify, before the handshake was over. */
  'closed',
  /** What answered the ClientHello is no TLS record. */
  'not-tls',
  /** The server sent a fatal alert: see `ProbeError.alert`. */
  'alert',
  /** The protocol works and TLS is not to be had in it. */
  'starttls-refused',
  /** The server chose a version that this client does not speak. */
  'no-common-parameters',
  /** The server breaks the rules of TLS, or of the protocol before it. */
  'protocol-error',
  /** The end entity's certificate, or its key, cannot be read or used. */
  'bad-certificate',
  /** A signature or a Finished is wrong: nothing that was seen is authentic. */
  'bad-signature',
  /** A limit of `ProbeLimits`, or of the package, was passed. */
  'too-large',
  /** The fault is on this side: options, sockets, addresses. */
  'local-error',
] as const;
export type ErrorClass = (typeof errorClasses)[number];

export interface ProbeError {
  readonly class: ErrorClass;
  /** AlertDescription (RFC 8446 section 6), when class is `alert`. */
  readonly alert?: number;
  /** For people; never parsed. */
  readonly detail: string;
}

/** A SignedCertificateTimestampList verbatim (RFC 6962 section 3.3); only that of `tls` has been parsed. */
export interface SctList {
  /** Inside the certificate, in the TLS extension, or in the stapled OCSP response. */
  readonly source: 'certificate' | 'tls' | 'ocsp';
  /** Position in `chain` of the certificate that it came in or with. */
  readonly certificate: number;
  readonly list: Uint8Array;
}

export interface ProbeResult {
  /** Certificates byte for byte, in the order sent; strays and duplicates kept. */
  readonly chain: readonly Uint8Array[];
  /**
   * The server has the key of `chain[0]`, and the chain is as it sent it. Under TLS 1.3 its CertificateVerify
   * shows both; under 1.2 no signature covers the chain, and this waits for the server's Finished.
   */
  readonly possessionProven: boolean;
  /** 0x0303 or 0x0304; absent until negotiated. The same holds for the fields below. */
  readonly version?: number;
  readonly cipherSuite?: number;
  readonly group?: number;
  readonly signatureScheme?: number;
  readonly alpn?: string;
  /** Stapled responses verbatim, by certificate position (RFC 8446 section 4.4.2.1; RFC 6066 section 8). */
  readonly ocspResponses: readonly { readonly certificate: number; readonly der: Uint8Array }[];
  readonly sctLists: readonly SctList[];
  /** Answers to `ProbeOptions.extensions`. */
  readonly extensions: ReadonlyMap<number, Uint8Array>;
  /**
   * Microseconds since the probe began: connected, first byte of the answer to the ClientHello, possession
   * proven, end.
   */
  readonly timings: {
    readonly connect?: number;
    readonly firstByte?: number;
    readonly proof?: number;
    readonly end: number;
  };
  readonly error?: ProbeError;
}

/** Never rejects: whatever happens at the far end or on the way is a result. */
export type Prober = (target: ProbeTarget, options?: ProbeOptions) => Promise<ProbeResult>;
