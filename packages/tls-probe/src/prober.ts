/** What one perspective sees at one endpoint. The contract between the probe and its users. */
export interface ProbeTarget {
  /** Literal IPv4 or IPv6 address; never resolved. */
  readonly address: string;
  readonly port: number;
  /** Sent as SNI (RFC 6066 section 3), an A-label host name; absent: no SNI is sent. */
  readonly serverName?: string;
  readonly startTls?: StartTlsProtocol;
}

export const startTlsProtocols = [
  'smtp',
  'lmtp',
  'imap',
  'pop3',
  'sieve',
  'nntp',
  'ftp',
  'xmpp-client',
  'xmpp-server',
  'ldap',
  'postgres',
  'mysql',
] as const;
export type StartTlsProtocol = (typeof startTlsProtocols)[number];

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
  'refused',
  'unreachable',
  'timeout-connect',
  'timeout-preamble',
  'timeout-handshake',
  'reset',
  'closed',
  'not-tls',
  'alert',
  'starttls-refused',
  'no-common-parameters',
  'protocol-error',
  'bad-certificate',
  'bad-signature',
  'too-large',
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

export interface ProbeResult {
  /** Certificates byte for byte, in the order sent; strays and duplicates kept. */
  readonly chain: readonly Uint8Array[];
  /** The server signed (or, under plain RSA, finished) with the key of `chain[0]`. */
  readonly possessionProven: boolean;
  /** 0x0303 or 0x0304; absent until negotiated. The same holds for the fields below. */
  readonly version?: number;
  readonly cipherSuite?: number;
  readonly group?: number;
  readonly signatureScheme?: number;
  readonly alpn?: string;
  /** Stapled responses verbatim, by certificate position (RFC 8446 section 4.4.2.1; RFC 6066 section 8). */
  readonly ocspResponses: readonly { readonly certificate: number; readonly der: Uint8Array }[];
  /** SCT lists verbatim from the TLS extension. Those inside certificates and OCSP stay there. */
  readonly sctLists: readonly Uint8Array[];
  /** Answers to `ProbeOptions.extensions`. */
  readonly extensions: ReadonlyMap<number, Uint8Array>;
  /** Microseconds since the probe began. */
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
