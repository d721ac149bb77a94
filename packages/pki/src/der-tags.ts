/** Identifier octets (X.690 8.1.2) of the universal types in use. */
export const tags = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  null: 0x05,
  oid: 0x06,
  enumerated: 0x0a,
  utf8String: 0x0c,
  printableString: 0x13,
  ia5String: 0x16,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
} as const;

/** `[n]` around a primitive type, IMPLICIT. */
export const implicit = (n: number): number => 0x80 | n;
/** `[n]` around a constructed type, IMPLICIT, or around any type, EXPLICIT. */
export const constructed = (n: number): number => 0xa0 | n;
