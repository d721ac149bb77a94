/** The stapler, for programs that start it themselves. Not part of the relying-party library. */
export { type Assembled, assemble, type Surroundings } from './assemble.ts';
export { loadStapleConfig, type StapleConfig } from './config.ts';
export { StapleError, type StapleErrorCode } from './error.ts';
export { encodeServerInfo, type ServerInfo } from './serverinfo.ts';
