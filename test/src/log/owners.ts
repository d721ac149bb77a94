/** What a coordinator needs to tell domain owners: an identity for mails, and a registry that knows one domain. */
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';

/** A registry that names these contacts for this domain, bootstrap included. */
export async function startRegistry(domain: string, contact: readonly unknown[]) {
  const server = createServer((asked, response) => {
    const bootstrap = { services: [[[domain.split('.').at(-1)], [`http://127.0.0.1:${port}/`]]] };
    const entities = [{ roles: ['registrant'], vcardArray: ['vcard', contact] }];
    const object = { objectClassName: 'domain', ldhName: domain, entities };
    response.end(JSON.stringify(asked.url === '/dns.json' ? bootstrap : object));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  return { bootstrap: `http://127.0.0.1:${port}/dns.json`, close: () => void server.close() };
}

/** `notice` of a coordinator's configuration; its files are those of `identity`. */
export const noticeOf = (smtpPort: number, bootstrap: string) => ({
  identity: { certificate: 'mail.pem', key: 'mail.key' },
  from: 'notices@va.test',
  bounces: 'bounces@va.test',
  secretFile: 'secret',
  smtp: { server: `127.0.0.1:${smtpPort}`, tls: 'none' },
  sources: ['rdap'],
  rdap: { bootstrap },
  pollMs: 100,
});

/** An e-mail certificate by openssl, its own root. */
export function identity(directory: string): void {
  writeFileSync(join(directory, 'secret'), randomBytes(32).toString('hex'));
  execFileSync(
    'openssl',
    [
      ...'req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=VA'.split(' '),
      '-addext',
      'subjectAltName=email:notices@va.test',
      '-addext',
      'extendedKeyUsage=emailProtection',
      '-keyout',
      join(directory, 'mail.key'),
      '-out',
      join(directory, 'mail.pem'),
    ],
    { stdio: 'pipe' },
  );
}
