import { offeredSuites } from './cipher-suites.ts';
import { compressionAlgorithms } from './compressed-certificate.ts';
import { extension, extensionTypes } from './extensions.ts';
import { handshakeTypes, messageHeaderSize } from './handshake-messages.ts';
import { type KeyShare, offeredGroups } from './key-exchange.ts';
import type { KeyType } from './prober.ts';
import { offeredSchemes } from './signature-schemes.ts';

// struct {
//   ProtocolVersion legacy_version = 0x0303;
//   Random random;                                   opaque[32]
//   opaque legacy_session_id<0..32>;
//   CipherSuite cipher_suites<2..2^16-2>;
//   opaque legacy_compression_methods<1..2^8-1>;     null only
//   Extension extensions<8..2^16-1>;
// } ClientHello;                                     RFC 8446 section 4.1.2

export interface Offer {
  readonly serverName: string | undefined;
  readonly keyType: KeyType;
  readonly alpn: readonly string[];
  readonly extensions: readonly number[];
}

export interface HelloParts {
  readonly random: Buffer;
  /** 32 bytes, so that TLS 1.3 runs in middlebox compatibility mode (RFC 8446 appendix D.4). */
  readonly sessionId: Buffer;
  readonly share: KeyShare;
  /** From a HelloRetryRequest. */
  readonly cookie?: Buffer;
}

const u16 = (value: number): Buffer => Buffer.from([value >> 8, value & 0xff]);
const vector8 = (content: Buffer): Buffer => Buffer.concat([Buffer.from([content.length]), content]);
const vector16 = (content: Buffer): Buffer => Buffer.concat([u16(content.length), content]);
const list16 = (values: readonly number[]): Buffer => vector16(Buffer.concat(values.map(u16)));

const types = extensionTypes;

/** TLS_EMPTY_RENEGOTIATION_INFO_SCSV is not needed beside the extension itself (RFC 5746 section 3.4). */
const suiteLists = (keyType: KeyType) =>
  Buffer.concat([
    list16(offeredSuites[keyType].map(({ id }) => id)),
    // compression: null
    Buffer.from([1, 0]),
  ]);

/** Extensions that are the same in each hello for one key type. */
const constantExtensions = (keyType: KeyType) => {
  const schemes = list16(offeredSchemes[keyType].map(({ id }) => id));
  return Buffer.concat([
    extension(types.extendedMasterSecret),
    extension(types.renegotiationInfo, Buffer.from([0])),
    extension(types.supportedGroups, list16(offeredGroups)),
    extension(types.ecPointFormats, Buffer.from([1, 0])),
    // status_type ocsp, no responders, no extensions
    extension(types.statusRequest, Buffer.from([1, 0, 0, 0, 0])),
    extension(types.signedCertificateTimestamp),
    extension(types.signatureAlgorithms, schemes),
    // Without it the restricted list would also bind the issuers' signatures (RFC 8446 section 4.2.3).
    ...(keyType === 'any'
      ? []
      : [extension(types.signatureAlgorithmsCert, list16(offeredSchemes.any.map(({ id }) => id)))]),
    extension(types.supportedVersions, vector8(Buffer.concat([u16(0x0304), u16(0x0303)]))),
    extension(types.compressCertificate, vector8(Buffer.concat(compressionAlgorithms.map(u16)))),
  ]);
};

const templates = new Map<KeyType, { readonly suites: Buffer; readonly constant: Buffer }>();

function template(keyType: KeyType) {
  let made = templates.get(keyType);
  if (!made) {
    made = { suites: suiteLists(keyType), constant: constantExtensions(keyType) };
    templates.set(keyType, made);
  }
  return made;
}

/** struct { NameType name_type = host_name(0); opaque HostName<1..2^16-1>; } in a list (RFC 6066 section 3) */
const serverNameExtension = (name: string): Buffer =>
  extension(
    types.serverName,
    vector16(Buffer.concat([Buffer.from([0]), vector16(Buffer.from(name, 'latin1'))])),
  );

const alpnExtension = (protocols: readonly string[]): Buffer =>
  extension(
    types.alpn,
    vector16(Buffer.concat(protocols.map((name) => vector8(Buffer.from(name, 'latin1'))))),
  );

const keyShareExtension = ({ group, publicKey }: KeyShare): Buffer =>
  extension(types.keyShare, vector16(Buffer.concat([u16(group), vector16(publicKey)])));

/** Types a server may answer. The cookie and the padding are never answered. */
export const offeredExtensions = (offer: Offer): ReadonlySet<number> =>
  new Set([
    ...(offer.serverName === undefined ? [] : [types.serverName]),
    ...(offer.alpn.length > 0 ? [types.alpn] : []),
    types.extendedMasterSecret,
    types.renegotiationInfo,
    types.supportedGroups,
    types.ecPointFormats,
    types.statusRequest,
    types.signedCertificateTimestamp,
    types.signatureAlgorithms,
    types.supportedVersions,
    types.compressCertificate,
    types.keyShare,
    ...offer.extensions,
  ]);

/** Some F5 load balancers hang on a hello of 256 to 511 bytes (RFC 7685 section 4). */
const paddingFor = (size: number): Buffer | undefined =>
  size > 255 && size < 512 ? extension(types.padding, Buffer.alloc(Math.max(0, 512 - size - 4))) : undefined;

/** The whole message, header included. */
export function clientHello(offer: Offer, parts: HelloParts): Buffer {
  const { suites, constant } = template(offer.keyType);
  const extensions: Buffer[] = [];
  if (offer.serverName !== undefined) extensions.push(serverNameExtension(offer.serverName));
  if (offer.alpn.length > 0) extensions.push(alpnExtension(offer.alpn));
  extensions.push(constant);
  for (const type of offer.extensions) extensions.push(extension(type));
  extensions.push(keyShareExtension(parts.share));
  if (parts.cookie) extensions.push(extension(types.cookie, vector16(parts.cookie)));
  const before = messageHeaderSize + 2 + 32 + 1 + parts.sessionId.length + suites.length + 2;
  const padding = paddingFor(extensions.reduce((sum, { length }) => sum + length, before));
  if (padding) extensions.push(padding);
  const extensionsSize = extensions.reduce((sum, { length }) => sum + length, 0);
  const size = before + extensionsSize;
  const bodySize = size - messageHeaderSize;
  return Buffer.concat(
    [
      Buffer.from([
        handshakeTypes.clientHello,
        bodySize >> 16,
        (bodySize >> 8) & 0xff,
        bodySize & 0xff,
        3,
        3,
      ]),
      parts.random,
      Buffer.from([parts.sessionId.length]),
      parts.sessionId,
      suites,
      u16(extensionsSize),
      ...extensions,
    ],
    size,
  );
}
