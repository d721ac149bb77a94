export * from './admin-server.ts';
export * from './config.ts';
export * from './error.ts';
export * from './process.ts';
export * from './retry.ts';
export * from './spiffe.ts';
export * from './svid.ts';
export * from './telemetry.ts';
