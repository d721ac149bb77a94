export * from './distance.ts';
export * from './ip-address.ts';
export * from './rir.ts';
export * from './special-purpose.ts';
export * from './start-tls.ts';
