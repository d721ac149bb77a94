/** For tests and benches of other workspaces. */
export * from './world.ts';
export * from './tls-server.ts';
