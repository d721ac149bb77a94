/** Certificates, CRLs and CT logs for tests and benches. */
export * from './issue.ts';
export * from './crl.ts';
export * from './sct.ts';
export * from './ocsp.ts';
export * from './openssl-ca.ts';
