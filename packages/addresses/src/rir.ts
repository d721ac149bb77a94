/** Regional Internet registries; the order is that of their ENUMERATED values in mecai.asn1. */
export const rirs = ['afrinic', 'apnic', 'arin', 'lacnic', 'ripencc'] as const;
export type Rir = (typeof rirs)[number];
