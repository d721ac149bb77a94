/** What a server certificate must be: RFC 5280 chapter 4, and for the profile `tls-br` BR 7.1.2.7. */
import { formatAddress } from '@mecai/addresses';
import { type Certificate, findExtension } from './certificate.ts';
import * as read from './extensions.ts';
import { type Fault, fault } from './fault.ts';
import type { GeneralNames } from './general-names.ts';
import { isPresentedDnsName } from './host-name.ts';
import { attributesOf, attributeTypes, isEmptyName } from './name.ts';

export function leafFault(
  certificate: Certificate,
  names: GeneralNames | undefined,
  strict: boolean,
): Fault | undefined {
  const basic = read.basicConstraints(certificate);
  const usage = read.keyUsage(certificate);
  const { keyCertSign, digitalSignature, keyEncipherment, keyAgreement } = read.keyUsageBits;
  if (basic?.ca && strict)
    return fault('profile', 'BR 7.1.2.7.8', 'a CA certificate in the place of a server');
  if (usage !== undefined) {
    if (read.hasUsage(usage, keyCertSign) && !basic?.ca) {
      return fault('key-usage', 'RFC 5280 4.2.1.9', 'keyCertSign without being a CA');
    }
    if (
      ![digitalSignature, keyEncipherment, keyAgreement].some((bit) => read.hasUsage(usage, bit)) &&
      !basic?.ca
    ) {
      return fault('key-usage', 'RFC 5280 4.2.1.3', 'key usage serves no TLS key exchange');
    }
  }
  if (findExtension(certificate, read.extensionOids.nameConstraints)) {
    return fault('profile', 'RFC 5280 4.2.1.10', 'name constraints outside a CA certificate');
  }
  const purposes = read.extKeyUsage(certificate);
  if (purposes ? !purposes.includes(read.keyPurposes.serverAuth) : strict) {
    if (strict || !purposes?.includes(read.keyPurposes.any)) {
      return fault('extended-key-usage', 'BR 7.1.2.7.10', 'not meant for TLS servers');
    }
  }
  if (strict && purposes?.includes(read.keyPurposes.any)) {
    return fault('extended-key-usage', 'BR 7.1.2.7.10', 'meant for any purpose');
  }
  if (strict && findExtension(certificate, read.extensionOids.extKeyUsage)?.critical) {
    return fault('extended-key-usage', 'BR 7.1.2.7.6', 'extended key usage is critical');
  }
  return namesFault(certificate, names, strict);
}

function namesFault(
  certificate: Certificate,
  names: GeneralNames | undefined,
  strict: boolean,
): Fault | undefined {
  if (!names) return strict ? fault('profile', 'BR 7.1.2.7.12', 'no subject alternative name') : undefined;
  const empty = isEmptyName(certificate.subject);
  const critical = findExtension(certificate, read.extensionOids.subjectAltName)?.critical ?? false;
  if (empty && !critical) {
    return fault('profile', 'RFC 5280 4.2.1.6', 'empty subject, and alternative names not critical');
  }
  if (strict && critical && !empty) {
    return fault('profile', 'BR 7.1.2.7.12', 'alternative names critical beside a subject');
  }
  for (const name of names.dns) {
    if (!isPresentedDnsName(name)) return fault('profile', 'RFC 5280 4.2.1.6', `dNSName ${printable(name)}`);
  }
  for (const address of names.ip) {
    if (address.length !== 4 && address.length !== 16) {
      return fault('profile', 'RFC 5280 4.2.1.6', 'iPAddress of neither 4 nor 16 octets');
    }
  }
  if (strict) {
    const commonNames = attributesOf(certificate.subject, attributeTypes.commonName);
    // Each attribute once; it also bounds the comparisons below.
    if (commonNames.length > 1) return fault('profile', 'BR 7.1.4.2', 'more than one commonName');
    for (const name of commonNames) {
      if (misleads(name, names)) {
        return fault('profile', 'BR 7.1.4.3', `commonName ${printable(name)} is not an alternative name`);
      }
    }
  }
  return undefined;
}

/**
 * Whether a commonName names a host or an address other than the alternative names of that kind do. Nobody
 * matches it (RFC 9525 section 6.4.4), so the domain above an alternative name, which the BRs do not allow
 * either, is let pass.
 */
function misleads(name: string, names: GeneralNames): boolean {
  // What URL parsers take for an address: a colon, or a last label that is a number.
  if (name.includes(':') || /(^|\.)(\d+|0x[\da-f]*)$/i.test(name)) {
    return names.ip.length > 0 && !names.ip.some((octets) => formatAddress(octets) === name);
  }
  // "Mail gateway" and the like name no host.
  if (!/^\S+\.\S+$/.test(name)) return false;
  if (names.dns.length === 0 || names.dnsAsWritten.includes(name)) return false;
  return !names.dnsAsWritten.some((presented) => presented.endsWith(`.${name}`));
}

// oxlint-disable-next-line no-control-regex
const printable = (text: string) => text.slice(0, 100).replace(/[^\x20-\x7e]/g, '?');
