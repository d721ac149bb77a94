export * from './certificates.ts';
export * from './cities.ts';
export * from './crl-server.ts';
export * from './internet.ts';
export * from './managed-process.ts';
export * from './network.ts';
export * from './soft-hsm.ts';
export * from './web.ts';
