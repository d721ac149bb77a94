import { createHash } from 'node:crypto';
import { type CipherSuite, cipherSuites, offeredSuites } from './cipher-suites.ts';
import { extensionTypes, readExtensions } from './extensions.ts';
import { alerts, illegal, malformed, missing, ProbeFailure } from './failure.ts';
import { messageHeaderSize } from './handshake-messages.ts';
import type { KeyType } from './prober.ts';
import { Reader } from './reader.ts';

// struct {
//   ProtocolVersion legacy_version;                  uint16
//   Random random;                                   opaque[32]
//   opaque legacy_session_id_echo<0..32>;
//   CipherSuite cipher_suite;                        uint16
//   uint8 legacy_compression_method = 0;
//   Extension extensions<0..2^16-1>;                 may be absent in TLS 1.2
// } ServerHello;                                     RFC 8446 section 4.1.3; RFC 5246 section 7.4.1.3

export interface ServerHello {
  readonly version: 0x0303 | 0x0304;
  /** A HelloRetryRequest, which is a ServerHello with a well-known random. */
  readonly retry: boolean;
  readonly random: Buffer;
  readonly sessionId: Buffer;
  readonly suite: CipherSuite;
  readonly extensions: ReadonlyMap<number, Buffer>;
}

/** RFC 8446 section 4.1.3 */
export const retryRandom: Buffer = createHash('sha256').update('HelloRetryRequest').digest();
/** "DOWNGRD" and 1 for TLS 1.2, 0 for below, at the end of the random of a server that speaks TLS 1.3. */
const downgradeMark = Buffer.from('DOWNGRD');

const suitesById = new Map(cipherSuites.map((suite) => [suite.id, suite]));

/** Where the server may answer what was offered, by version; private types are allowed besides. */
const placed: Record<'retry' | 'tls13' | 'tls12', ReadonlySet<number>> = {
  retry: new Set([extensionTypes.supportedVersions, extensionTypes.keyShare, extensionTypes.cookie]),
  tls13: new Set([extensionTypes.supportedVersions, extensionTypes.keyShare]),
  tls12: new Set([
    extensionTypes.serverName,
    extensionTypes.statusRequest,
    // Old F5 BIG-IP servers echo it; it means nothing here.
    extensionTypes.supportedGroups,
    extensionTypes.ecPointFormats,
    extensionTypes.alpn,
    extensionTypes.signedCertificateTimestamp,
    extensionTypes.extendedMasterSecret,
    extensionTypes.renegotiationInfo,
  ]),
};

export const hex16 = (value: number): string => `0x${value.toString(16).padStart(4, '0')}`;

function negotiatedVersion(legacy: number, selected: Buffer | undefined, random: Buffer): 0x0303 | 0x0304 {
  if (selected) {
    const reader = new Reader(selected, 'the supported_versions answer');
    const version = reader.u16();
    reader.end();
    // Negotiating an older version through this extension is forbidden (RFC 8446 section 4.2.1).
    if (version !== 0x0304) throw illegal(`the server selected version ${hex16(version)}`);
    if (legacy !== 0x0303) throw illegal(`legacy_version ${hex16(legacy)} in TLS 1.3`);
    return version;
  }
  if (legacy >= 0x0300 && legacy < 0x0303) {
    throw new ProbeFailure('no-common-parameters', `the server speaks version ${hex16(legacy)} at most`, {
      owedAlert: alerts.protocolVersion,
    });
  }
  if (legacy !== 0x0303) {
    throw new ProbeFailure('protocol-error', `the server selected version ${hex16(legacy)}`, {
      owedAlert: alerts.protocolVersion,
    });
  }
  if (random.subarray(24, 31).equals(downgradeMark) && random[31]! <= 1) {
    throw illegal('the server speaks TLS 1.3 and was talked down to 1.2 (RFC 8446 section 4.1.3)');
  }
  return legacy;
}

/**
 * @param whole the message, header included; the result holds views on it
 * @param offered extension types in the ClientHello
 * @param custom of these, the private ones, which may be answered anywhere
 */
export function readServerHello(
  whole: Buffer,
  keyType: KeyType,
  offered: ReadonlySet<number>,
  custom: readonly number[],
): ServerHello {
  const reader = new Reader(whole, 'ServerHello', messageHeaderSize);
  const legacy = reader.u16();
  const random = reader.take(32);
  const sessionId = reader.vector8();
  if (sessionId.length > 32) throw malformed('a session id of more than 32 bytes');
  const suiteId = reader.u16();
  const compression = reader.u8();
  const retry = random.equals(retryRandom);

  const extensions = new Map<number, Buffer>();
  if (reader.left > 0) {
    // The cookie alone may come unasked, in a HelloRetryRequest (RFC 8446 section 4.2).
    const allowed = retry ? new Set([...offered, extensionTypes.cookie]) : offered;
    readExtensions(reader, retry ? 'HelloRetryRequest' : 'ServerHello', allowed, (type, data) => {
      extensions.set(type, data);
      return true;
    });
    reader.end();
  }
  const version = negotiatedVersion(legacy, extensions.get(extensionTypes.supportedVersions), random);
  if (retry && version !== 0x0304) throw missing('a HelloRetryRequest without supported_versions');
  const places = placed[retry ? 'retry' : version === 0x0304 ? 'tls13' : 'tls12'];
  for (const type of extensions.keys()) {
    if (!places.has(type) && (retry || version === 0x0304 || !custom.includes(type))) {
      throw illegal(`extension ${type} has no place in ${retry ? 'HelloRetryRequest' : 'ServerHello'}`);
    }
  }
  if (compression !== 0) throw illegal('the server chose to compress');
  const suite = suitesById.get(suiteId);
  if (!suite || !offeredSuites[keyType].includes(suite)) {
    throw illegal(`cipher suite ${hex16(suiteId)} was not offered`);
  }
  if (suite.version !== version) {
    throw illegal(`cipher suite ${hex16(suiteId)} does not belong to version ${hex16(version)}`);
  }
  return { version, retry, random, sessionId, suite, extensions };
}
