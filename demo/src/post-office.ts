/** What the story needs of the world besides servers: DNS for the shop's domain, and the owner's mailbox. */
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { startDns } from '@mecai/test/dns-server';
import { SMTPServer } from 'smtp-server';

export interface PostOffice {
  /** TXT records of the shop's domain, by name. */
  readonly records: Map<string, string>;
  /** The mail about this certificate, as it came; waits for it. */
  mailAbout(fingerprint: string): Promise<string>;
  /** PEM of the certificate that mails are signed with; its own root. */
  readonly mailCertificate: string;
  /** Members of the coordinator's configuration. */
  readonly coordinator: object;
  close(): Promise<void>;
}

const owner = 'security@shop.test';

/** @param directory for keys; made if absent */
export async function openPostOffice(directory: string): Promise<PostOffice> {
  mkdirSync(directory, { recursive: true });
  const at = (name: string) => join(directory, name);
  const records = new Map<string, string>();
  const dns = await startDns(({ name, type }) => {
    if (type === 'CAA' && name === 'shop.test') {
      const data = { flags: 0, tag: 'iodef', value: `mailto:${owner}` } as const;
      return [{ type: 'CAA', name, ttl: 0, data }];
    }
    const data = records.get(name);
    return type === 'TXT' && data !== undefined ? [{ type: 'TXT', name, ttl: 0, data }] : 'nxdomain';
  });
  const mails: string[] = [];
  let arrived = Promise.withResolvers<void>();
  const smtp = new SMTPServer({
    authOptional: true,
    disabledCommands: ['STARTTLS'],
    onData(stream, _, done) {
      const parts: Buffer[] = [];
      stream.on('data', (part: Buffer) => parts.push(part));
      stream.on('end', () => {
        mails.push(Buffer.concat(parts).toString());
        arrived.resolve();
        arrived = Promise.withResolvers();
        done();
      });
    },
  });
  smtp.listen(0, '127.0.0.1');
  await once(smtp.server, 'listening');
  const { port } = smtp.server.address() as AddressInfo;
  writeFileSync(at('mail-secret'), randomBytes(32).toString('hex'), { mode: 0o600 });
  const make =
    'req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=Notices'.split(' ');
  const names = ['subjectAltName=email:notices@second-opinion.test', 'extendedKeyUsage=emailProtection'];
  const files = ['-keyout', at('mail.key'), '-out', at('mail.pem')];
  execFileSync('openssl', [...make, ...names.flatMap((one) => ['-addext', one]), ...files], {
    stdio: 'pipe',
  });
  return {
    records,
    mailCertificate: at('mail.pem'),
    coordinator: {
      publicUrl: 'https://va.second-opinion.test',
      dns: { resolvers: [dns.address] },
      notice: {
        identity: { certificate: at('mail.pem'), key: at('mail.key') },
        from: 'notices@second-opinion.test',
        bounces: 'bounces@second-opinion.test',
        secretFile: at('mail-secret'),
        smtp: { server: `127.0.0.1:${port}`, tls: 'none' },
        sources: ['caa'],
        rdap: { bootstrap: 'http://127.0.0.1:9/' },
        pollMs: 50,
      },
    },
    async mailAbout(fingerprint) {
      for (;;) {
        const mail = mails.find((one) => one.includes(fingerprint));
        if (mail !== undefined) return mail;
        await arrived.promise;
      }
    },
    async close() {
      await new Promise<void>((resolve) => smtp.close(resolve));
      await dns[Symbol.asyncDispose]();
    },
  };
}
