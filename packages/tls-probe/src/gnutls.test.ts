import { afterAll, describe, expect, it } from 'vitest';
import { type Issued, TestCertificates, TestHierarchy } from './testing/certificates.ts';
import { at, chainOf, expectProven } from './testing/observed.ts';
import { freePort } from '@mecai/addresses/testing';
import { Processes, program } from './testing/processes.ts';

const certificates = new TestCertificates();
const processes = new Processes();
const hierarchy = new TestHierarchy(certificates);
afterAll(async () => {
  await processes.stop();
  certificates.remove();
});

describe('GnuTLS', () => {
  const gnutls = async (priority: string, leaf: Issued) => {
    const port = await freePort();
    const files = ['--x509certfile', leaf.certificatePath, '--x509keyfile', leaf.keyPath];
    const args = ['--http', '--disable-client-cert', '--port', String(port), '--priority', priority];
    await processes.serve(program('gnutls-serv', 'gnutls-bin'), [...args, ...files], port);
    return port;
  };

  it.each([
    ['TLS 1.3', 'NORMAL', 'p256', 0x0304],
    ['TLS 1.3 with Ed25519', 'NORMAL', 'ed25519', 0x0304],
    ['TLS 1.3 with P-384 only', 'NORMAL:-GROUP-ALL:+GROUP-SECP384R1', 'rsa', 0x0304],
    ['TLS 1.2', 'NORMAL:-VERS-ALL:+VERS-TLS1.2', 'p256', 0x0303],
    ['TLS 1.2 with plain RSA', 'NORMAL:-VERS-ALL:+VERS-TLS1.2:-KX-ALL:+RSA', 'rsa', 0x0303],
    ['TLS 1.2 with CBC', 'NORMAL:-VERS-ALL:+VERS-TLS1.2:-CIPHER-ALL:+AES-256-CBC', 'rsa', 0x0303],
  ] as const)('%s', async (_, priority, kind, version) => {
    const result = await at(await gnutls(priority, hierarchy.leaf(kind)));
    expectProven(result);
    expect(result.version).toBe(version);
    expect(chainOf(result)[0]).toEqual(hierarchy.leaf(kind).der);
  });
});
