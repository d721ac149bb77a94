import { afterAll, describe, expect, it } from 'vitest';
import { createTrustStore, toPem } from './index.ts';
import type { GeneratedChain } from './testing/chain.ts';
import { generateChains } from './testing/chains.ts';
import { OpenSsl } from './testing/openssl.ts';

const chains = generateChains();
/** openssl needs to be told that every policy is acceptable. */
const anyPolicy = '2.5.29.32.0';

function judge({ anchors, chain, name, now }: GeneratedChain): string {
  const store = createTrustStore([
    { id: 'OWN', anchors: anchors.map(({ certificate }) => ({ certificate })) },
  ]);
  const [result] = store.evaluate({ chain: chain.map((one) => one.der), name, now }).contexts;
  return result!.trusted ? 'trusted' : result!.reason!.code;
}

describe('generated chains', () => {
  it('are at least 150, each with an id of its own', () => {
    expect(chains.length).toBeGreaterThanOrEqual(150);
    expect(new Set(chains.map(({ id }) => id)).size).toBe(chains.length);
  });

  it('are judged as expected', () => {
    const judged = chains.map((one) => `${one.id}: ${judge(one)}`);
    expect(judged).toEqual(chains.map(({ id, expected }) => `${id}: ${expected}`));
  });
});

describe('openssl verify', () => {
  const openssl = new OpenSsl();
  afterAll(() => openssl[Symbol.dispose]());

  const accepts = async ({ anchors, chain, name, now }: GeneratedChain, index: number): Promise<boolean> => {
    const [leaf, ...bag] = chain.map((one) => toPem(one.der, 'CERTIFICATE'));
    const roots = openssl.write(
      `${index}-roots.pem`,
      anchors.map((one) => toPem(one.der, 'CERTIFICATE')).join(''),
    );
    const sent = openssl.write(`${index}-bag.pem`, bag.join(''));
    const file = openssl.write(`${index}-leaf.pem`, leaf!);
    const { code } = await openssl.attempt(
      'verify',
      '-x509_strict',
      '-no-CApath',
      '-no-CAstore',
      '-policy',
      anyPolicy,
      '-purpose',
      'sslserver',
      '-attime',
      String(now.getTime() / 1000),
      ...('ip' in name ? ['-verify_ip', name.ip] : ['-verify_hostname', name.dns]),
      '-CAfile',
      roots,
      ...(bag.length > 0 ? ['-untrusted', sent] : []),
      file,
    );
    return code === 0;
  };

  it('agrees, but where there is a reason to decide otherwise', { timeout: 120_000 }, async () => {
    const outcomes = new Set<string>();
    const queue = [...chains.entries()];
    const work = async () => {
      for (let next = queue.pop(); next; next = queue.pop()) {
        const [index, one] = next;
        const accepted = await accepts(one, index);
        if (accepted !== (one.openssl?.accepts ?? one.expected === 'trusted')) {
          outcomes.add(`${one.id}: expected ${one.expected}, openssl ${accepted ? 'accepts' : 'refuses'}`);
        }
      }
    };
    await Promise.all([work(), work(), work(), work()]);
    expect([...outcomes]).toEqual([]);
  });
});
