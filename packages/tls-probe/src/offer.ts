import { isIP } from 'node:net';
import type { Offer } from './client-hello.ts';
import { extensionTypes } from './extensions.ts';
import { ProbeFailure } from './failure.ts';
import type { ProbeOptions, ProbeTarget } from './prober.ts';

const refuse = (detail: string) => new ProbeFailure('local-error', detail);

const reserved = new Set<number>(Object.values(extensionTypes));
/**
 * An empty one of these would be malformed, or change the handshake once answered: encrypt_then_mac,
 * record_size_limit, session_ticket, pre_shared_key, early_data, psk_key_exchange_modes, next_protocol_negotiation.
 */
const meaningful = new Set([22, 28, 35, 41, 42, 45, 13_172]);
const mostExtensions = 128;

const isHostName = (name: string) => /^[\x21-\x7e]{1,255}$/.test(name) && isIP(name) === 0;

/**
 * Checks what the caller wants offered.
 * @throws ProbeFailure `local-error`
 */
export function readOffer(target: ProbeTarget, options: ProbeOptions): Offer {
  const { serverName } = target;
  const alpn = options.alpn ?? [];
  const extensions = options.extensions ?? [];
  // Address literals are not allowed in SNI, nor a trailing dot (RFC 6066 section 3).
  if (serverName !== undefined && (!isHostName(serverName) || serverName.endsWith('.'))) {
    throw refuse(`${JSON.stringify(serverName)} is no host name for SNI`);
  }
  if (alpn.length > 32) throw refuse('more than 32 ALPN protocols');
  for (const name of alpn) {
    const bytes = Buffer.from(name, 'latin1');
    if (bytes.length < 1 || bytes.length > 255 || bytes.toString('latin1') !== name) {
      throw refuse('an ALPN protocol has 1 to 255 bytes');
    }
  }
  if (extensions.length > mostExtensions) throw refuse(`more than ${mostExtensions} extensions`);
  if (new Set(extensions).size !== extensions.length) throw refuse('an extension is asked for twice');
  for (const type of extensions) {
    const valid = Number.isInteger(type) && type >= 0 && type <= 0xffff;
    if (!valid || reserved.has(type) || meaningful.has(type)) {
      throw refuse(`extension ${type} cannot be asked for`);
    }
  }
  return { serverName, keyType: options.keyType ?? 'any', alpn, extensions };
}
