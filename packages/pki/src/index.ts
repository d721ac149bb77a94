export * from './der-reader.ts';
export * as der from './der-writer.ts';
export * from './der-tags.ts';
export * from './error.ts';
export * from './certificate.ts';
export * from './host-name.ts';
export { nameKey, nameText, readName } from './name.ts';
export * from './extensions.ts';
export * from './pem.ts';
export type { Fault, FaultCode } from './fault.ts';
export { type Budgets, defaultBudgets } from './graph.ts';
export type { Profile } from './profile.ts';
export * from './sct.ts';
export * from './trust-context.ts';
export * from './trust-directory.ts';
export * from './trust-store.ts';
export * from './own-ca.ts';
export { type PublicKeyInfo, readPublicKey, readSignatureAlgorithm, verifySignature } from './algorithms.ts';
export { publicKey } from './public-key.ts';
export * from './distrust.ts';
export * from './import.ts';
export { importCertdata } from './certdata.ts';
export { importChromeRootStore, type ChromeImportOptions } from './chrome-root-store.ts';
export { importMicrosoftList, type MicrosoftImportOptions } from './ccadb.ts';
export { readPublicSuffixes, type PublicSuffixOptions } from './public-suffixes.ts';
export * from './crl.ts';
export { CrlEntries, type CrlEntry } from './crl-entries.ts';
export { type OcspOptions, type OcspVerdict, verifyOcsp } from './ocsp.ts';
export { encodeOcspRequest, issuerHashes } from './ocsp-request.ts';
export {
  ocspOctets,
  ocspSctLists,
  parseOcspResponse,
  type BasicResponse,
  type SingleResponse,
} from './ocsp-response.ts';
export * from './fetch.ts';
export * from './revocation.ts';
export * from './revocation-status.ts';
export * from './known-status.ts';
