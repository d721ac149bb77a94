/** Protocols that are spoken in the clear before TLS, as endpoints name them. */
export const startTlsProtocols = [
  'smtp',
  'lmtp',
  'imap',
  'pop3',
  'sieve',
  'nntp',
  'ftp',
  'xmpp-client',
  'xmpp-server',
  'ldap',
  'postgres',
  'mysql',
] as const;
export type StartTlsProtocol = (typeof startTlsProtocols)[number];
