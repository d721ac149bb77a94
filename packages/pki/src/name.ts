/**
 * Distinguished names (RFC 5280 section 4.1.2.4):
 *
 *   Name ::= CHOICE { rdnSequence SEQUENCE OF SET SIZE (1..MAX) OF SEQUENCE { type OID, value ANY } }
 */
import { sameBytes } from '@mecai/addresses';
import { DerReader } from './der-reader.ts';
import { tags } from './der-tags.ts';

export interface Attribute {
  readonly type: string;
  /** The tag of the value. */
  readonly tag: number;
  /** Content octets of the value. */
  readonly value: Uint8Array;
}

/** TeletexString, read as Latin-1, which is what CAs put in it. */
const teletexString = 0x14;
/** BMPString: UTF-16, big-endian. */
const bmpString = 0x1e;

const utf8 = new TextDecoder();
const utf16 = new TextDecoder('utf-16be');
const latin1 = new TextDecoder('latin1');

/** The relative distinguished names of a Name, outermost first. */
export function readName(name: Uint8Array): Attribute[][] {
  const sequence = DerReader.whole(name);
  const rdns: Attribute[][] = [];
  while (!sequence.atEnd) {
    const set = sequence.enter(tags.set);
    const attributes: Attribute[] = [];
    do {
      const pair = set.sequence();
      const type = pair.oid();
      const tag = pair.peek() ?? 0;
      attributes.push({ type, tag, value: pair.content(tag) });
      pair.end();
    } while (!set.atEnd);
    rdns.push(attributes);
  }
  return rdns;
}

/**
 * One string for each relative distinguished name; two are equal where RFC 5280 section 7.1 says that the
 * names match: PrintableString and UTF8String without regard to case and to leading, trailing and repeated
 * white space, everything else octet by octet. Lengths inside keep hostile values from running together.
 */
export function rdnKeys(name: Uint8Array): string[] {
  return readName(name).map((attributes) =>
    attributes
      .map(({ type, tag, value }) => {
        const text =
          tag === tags.utf8String || tag === tags.printableString
            ? `s${folded(utf8.decode(value))}`
            : `${tag}:${latin1.decode(value)}`;
        return `${type}=${text.length}:${text}`;
      })
      .toSorted()
      .join('+'),
  );
}

/** A whole name as one string, equal where the names match. The empty name is `''`. */
export const nameKey = (name: Uint8Array): string => rdnKeys(name).join(',');

/** Whether two names match. Nearly always they are the same to the octet. */
export const sameName = (a: Uint8Array, b: Uint8Array): boolean =>
  sameBytes(a, b) || nameKey(a) === nameKey(b);

/** An empty SEQUENCE. */
export const isEmptyName = (name: Uint8Array): boolean => name.length === 2;

function folded(value: string): string {
  // Only what is not ASCII needs a normal form (RFC 4518 section 2.3).
  // oxlint-disable-next-line no-control-regex
  const normal = /^[\x00-\x7f]*$/.test(value) ? value : value.normalize('NFKC');
  return normal.toLowerCase().trim().replace(/\s+/g, ' ');
}

/** The text of a string value; hexadecimal for what is no string. */
export function attributeText({ tag, value }: Attribute): string {
  switch (tag) {
    case tags.utf8String:
    case tags.printableString:
    case tags.ia5String:
      return utf8.decode(value);
    case teletexString:
      return latin1.decode(value);
    case bmpString:
      return utf16.decode(value);
    default:
      return `#${Buffer.from(value).toString('hex')}`;
  }
}

export const attributeTypes = {
  commonName: '2.5.4.3',
  organization: '2.5.4.10',
  emailAddress: '1.2.840.113549.1.9.1',
} as const;

const labels: Readonly<Record<string, string>> = {
  '2.5.4.3': 'CN',
  '2.5.4.5': 'serialNumber',
  '2.5.4.6': 'C',
  '2.5.4.7': 'L',
  '2.5.4.8': 'ST',
  '2.5.4.10': 'O',
  '2.5.4.11': 'OU',
  '0.9.2342.19200300.100.1.25': 'DC',
  '1.2.840.113549.1.9.1': 'emailAddress',
};

/**
 * For people: most specific first, as RFC 4514 writes names. Control characters come out as `?`, and no more
 * than 300 characters, since names of strangers end up in logs.
 */
export function nameText(name: Uint8Array): string {
  const parts = readName(name)
    .flat()
    .toReversed()
    .map((attribute) => {
      const value = attributeText(attribute).replace(/([,+"\\<>;=])/g, '\\$1');
      return `${labels[attribute.type] ?? attribute.type}=${value}`;
    });
  // oxlint-disable-next-line no-control-regex
  const text = parts.join(', ').replace(/[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]/g, '?');
  return text.length > 300 ? `${text.slice(0, 299)}…` : text;
}

export const attributesOf = (name: Uint8Array, type: string): string[] =>
  readName(name)
    .flat()
    .filter((attribute) => attribute.type === type)
    .map(attributeText);
