/** Contexts of `openssl s_server -serverinfo`: ClientHello, TLS 1.2 ServerHello, TLS 1.3 Certificate. */
const context = 0x1180;

/** One extension that openssl staples, as its PEM file has it (SSL_CTX_use_serverinfo_ex(3)). */
export function serverInfo(type: number, data: Uint8Array): string {
  const header = Buffer.alloc(8);
  header.writeUInt32BE(context, 0);
  header.writeUInt16BE(type, 4);
  header.writeUInt16BE(data.length, 6);
  const base64 = Buffer.concat([header, data]).toString('base64').replace(/.{64}/g, '$&\n');
  const label = `SERVERINFOV2 FOR EXTENSION ${type}`;
  return `-----BEGIN ${label}-----\n${base64}\n-----END ${label}-----\n`;
}
