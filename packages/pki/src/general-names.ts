/**
 * GeneralNames (RFC 5280 section 4.2.1.6):
 *
 *   GeneralName ::= CHOICE { otherName [0], rfc822Name [1] IA5String, dNSName [2] IA5String, x400Address [3],
 *     directoryName [4] Name, ediPartyName [5], uniformResourceIdentifier [6] IA5String,
 *     iPAddress [7] OCTET STRING, registeredID [8] OID }
 */
import { DerReader } from './der-reader.ts';
import { constructed, implicit } from './der-tags.ts';
import { PkiError } from './error.ts';

export interface GeneralNames {
  /** dNSName values, lower case. */
  readonly dns: string[];
  /** dNSName values as written. */
  readonly dnsAsWritten: string[];
  /** iPAddress content octets, of any length: an address or a range. */
  readonly ip: Uint8Array[];
  /** directoryName values, whole Name TLVs. */
  readonly directory: Uint8Array[];
  readonly email: string[];
  readonly uri: string[];
  /** The tags of the names of every other kind. */
  readonly others: Set<number>;
}

export const nameTags = {
  email: implicit(1),
  dns: implicit(2),
  directory: constructed(4),
  uri: implicit(6),
  ip: implicit(7),
} as const;

/** otherName, x400Address, ediPartyName, registeredID: carried, never compared. */
const uncompared: ReadonlySet<number> = new Set([
  constructed(0),
  constructed(3),
  constructed(5),
  implicit(8),
]);

export const emptyNames = (): GeneralNames => ({
  dns: [],
  dnsAsWritten: [],
  ip: [],
  directory: [],
  email: [],
  uri: [],
  others: new Set(),
});

/** Reads one GeneralName and files it. */
export function readGeneralName(reader: DerReader, into: GeneralNames): void {
  const tag = reader.peek();
  switch (tag) {
    case nameTags.dns: {
      const name = reader.ia5String(tag);
      into.dnsAsWritten.push(name);
      into.dns.push(name.toLowerCase());
      break;
    }
    case nameTags.ip:
      into.ip.push(reader.octetString(tag));
      break;
    case nameTags.directory: {
      const name = reader.enter(tag);
      into.directory.push(name.raw());
      name.end();
      break;
    }
    case nameTags.email:
      into.email.push(reader.ia5String(tag));
      break;
    case nameTags.uri:
      into.uri.push(reader.ia5String(tag));
      break;
    default:
      if (tag === undefined || !uncompared.has(tag)) throw new PkiError('malformed', 'GeneralName');
      reader.raw();
      into.others.add(tag);
  }
}

/** `GeneralNames ::= SEQUENCE SIZE (1..MAX) OF GeneralName`, the whole of `bytes`. */
export function readGeneralNames(bytes: Uint8Array): GeneralNames {
  return generalNames(DerReader.whole(bytes));
}

/** The same from a reader already inside the SEQUENCE. */
export function generalNames(reader: DerReader): GeneralNames {
  const names = emptyNames();
  if (reader.atEnd) throw new PkiError('malformed', 'GeneralNames without a name');
  while (!reader.atEnd) readGeneralName(reader, names);
  return names;
}
