import { embeddedScts, parseOcspResponse, readSctList, verifySct } from '@mecai/pki';
import { authority, embeddedSctLeaf, log, makeOcspResponse, sctList } from '@mecai/pki/testing';
import { afterAll, expect, it } from 'vitest';
import { probe } from './index.ts';
import { Observation } from './observation.ts';
import { sctListsOf } from './sct-lists.ts';
import { TestCertificates } from './testing/certificates.ts';
import { freePort } from '@mecai/addresses/testing';
import { Processes, program } from './testing/processes.ts';
import { serverInfo } from './testing/server-info.ts';

const files = new TestCertificates();
const processes = new Processes();
afterAll(async () => {
  await processes.stop();
  files.remove();
});

const ca = authority('CT CA');
const time = (day: number) => new Date(Date.UTC(2026, 0, day));
const { leaf } = embeddedSctLeaf(ca, time(1));
const inTls = sctList(leaf.der, time(2));
const inOcsp = sctList(leaf.der, time(3));
const response = makeOcspResponse(leaf, ca, { scts: inOcsp });

const pem = (der: Uint8Array) => {
  const base64 = Buffer.from(der).toString('base64').replace(/.{64}/g, '$&\n');
  return `-----BEGIN CERTIFICATE-----\n${base64}\n-----END CERTIFICATE-----\n`;
};

it.each(['-tls1_2', '-tls1_3'])(
  'SCTs in the certificate, the TLS extension and the stapled OCSP response of a real server (%s)',
  async (version) => {
    const port = await freePort();
    const key = leaf.key.privateKey.export({ format: 'pem', type: 'pkcs8' });
    const args = {
      '-cert': files.write('leaf.pem', pem(leaf.der)),
      '-key': files.write('leaf.key', key),
      '-cert_chain': files.write('chain.pem', pem(ca.der)),
      '-status_file': files.write('ocsp.der', response),
      '-serverinfo': files.write('info.pem', serverInfo(18, inTls)),
      '-accept': `127.0.0.1:${port}`,
    };
    const all = ['s_server', '-www', version, ...Object.entries(args).flat()];
    await processes.serve(program('openssl', 'openssl'), all, port);
    const result = await probe({ address: '127.0.0.1', port, serverName: 'www.example.com' });
    expect(result.error).toBeUndefined();
    expect(result.sctLists.map(({ source, certificate }) => [source, certificate])).toEqual([
      ['certificate', 0],
      ['tls', 0],
      ['ocsp', 0],
    ]);
    const scts = result.sctLists.flatMap(({ source, list }) => readSctList(list, source));
    expect(scts.map(({ timestamp }) => timestamp)).toEqual([time(1), time(2), time(3)]);
    for (const sct of scts) expect(verifySct(sct, log, leaf.certificate, ca.certificate)).toBe(true);
  },
);

/** As if a server had sent it. */
function seen(chain: readonly Uint8Array[], ocsp: readonly Uint8Array[] = []): Observation {
  const observation = new Observation();
  observation.chain.push(...chain);
  observation.ocspResponses.push(...ocsp.map((der, certificate) => ({ certificate, der })));
  return observation;
}

it('are the ones that the strict parser finds', () => {
  const found = sctListsOf(seen([leaf.der], [response]));
  const parsed = found.map(({ source, list }) => readSctList(list, source));
  expect(parsed[0]).toEqual(embeddedScts(leaf.certificate));
  expect(Buffer.from(found[1]!.list)).toEqual(Buffer.from(parseOcspResponse(response).responses[0]!.scts!));
});

it('name the certificate they came in', () => {
  const found = sctListsOf(seen([ca.der, leaf.der], [Uint8Array.of(0), response]));
  expect(found.map(({ source, certificate }) => [source, certificate])).toEqual([
    ['certificate', 1],
    ['ocsp', 1],
  ]);
});

it('are none where there are none, or where the DER is broken', () => {
  expect(sctListsOf(seen([ca.der], [makeOcspResponse(leaf, ca)]))).toEqual([]);
  for (const [whole, place] of [
    [leaf.der, 'chain'],
    [response, 'ocsp'],
  ] as const) {
    for (let size = 0; size < whole.length; size++) {
      const cut = whole.subarray(0, size);
      expect(sctListsOf(place === 'chain' ? seen([cut]) : seen([], [cut])), `${place} ${size}`).toEqual([]);
    }
  }
});

it('own their bytes', () => {
  for (const { list } of sctListsOf(seen([leaf.der], [response]))) {
    expect(list.buffer.byteLength).toBe(list.length);
  }
});
