/** Random vouchers and VRP messages for property tests: every field within, and up to, its bounds. */
import type { Extension } from '@mecai/pki';
import * as fc from 'fast-check';
import { type CertificateStatus, type Perspective, rirs, verdicts, type Voucher } from './voucher.ts';
import {
  type ChainResult,
  chainStatuses,
  outcomeVerdicts,
  type PerspectiveOutcome,
  refusalReasons,
  startTlsProtocols,
  type VoucherRequest,
  type VoucherResponse,
} from './vrp.ts';

export const octets = (least: number, most = least): fc.Arbitrary<Uint8Array> =>
  fc.uint8Array({ minLength: least, maxLength: most });

const digest = octets(32);
/** Whole seconds from 1970 to the end of 9999. */
const seconds = fc.integer({ min: 0, max: 253_402_300_798 });
const time = (value: number) => new Date(value * 1000);
const period = fc
  .tuple(seconds, fc.integer({ min: 1, max: 400_000 }))
  .map(([from, length]) => [time(from), time(Math.min(from + length, 253_402_300_799))] as const);

const present = (name: string, value: unknown): object => (value === undefined ? {} : { [name]: value });

const addresses = fc
  .tuple(fc.option(octets(4), { nil: undefined }), fc.option(octets(16), { nil: undefined }))
  .filter(([ipv4, ipv6]) => ipv4 !== undefined || ipv6 !== undefined);

export const country = fc.stringMatching(/^[A-Z]{2}$/);
const asn = fc.integer({ min: 1, max: 2 ** 32 - 1 });

const extension: fc.Arbitrary<Extension> = fc.record({
  oid: fc.tuple(fc.nat(39), fc.bigInt(0n, 2n ** 128n)).map(([second, arc]) => `1.${second}.${arc}`),
  critical: fc.constant(false),
  value: octets(0, 40),
});
const extensions = fc.option(
  fc.uniqueArray(extension, { minLength: 1, maxLength: 16, selector: (one) => one.oid }),
  { nil: undefined },
);

const crl = fc
  .tuple(fc.option(fc.bigInt(0n, 2n ** 159n - 1n), { nil: undefined }), period, digest)
  .map(([number, [thisUpdate, nextUpdate], hash]) => ({
    ...present('number', number),
    thisUpdate,
    nextUpdate,
    digest: hash,
  }));

const status = (intermediates: number): fc.Arbitrary<CertificateStatus[]> =>
  fc.uniqueArray(
    fc.oneof(
      fc.record({ certificate: fc.nat(intermediates), ocsp: octets(1, 300) }),
      fc.record({ certificate: fc.nat(intermediates), crl }),
    ),
    { selector: (one) => one.certificate, maxLength: 10 },
  );

const perspective = (withIpv4: boolean, withIpv6: boolean): fc.Arbitrary<Perspective> =>
  fc
    .tuple(country, fc.constantFrom(...rirs), asn, fc.constantFrom(...verdicts), fc.constantFrom(...verdicts))
    .map(([where, rir, network, ipv4, ipv6]) => ({
      country: where,
      rir,
      asn: network,
      ...(withIpv4 && { ipv4 }),
      ...(withIpv6 && { ipv6 }),
    }));

const quorum = fc.integer({ min: 1, max: 64 }).chain((asked) =>
  fc.integer({ min: 1, max: asked }).chain((matches) =>
    fc.record({
      asked: fc.constant(asked),
      matches: fc.constant(matches),
      regions: fc.integer({ min: 1, max: Math.min(5, matches) }),
      networks: fc.integer({ min: 1, max: matches }),
      kilometres: fc.integer({ min: 0, max: 20_040 }),
      intermediates: fc.boolean(),
    }),
  ),
);

/** Lists that the encoder sorts come in any order. */
export const voucher: fc.Arbitrary<Voucher> = fc
  .tuple(addresses, fc.array(digest, { maxLength: 9 }))
  .chain(([[ipv4, ipv6], intermediates]) =>
    fc
      .record({
        serial: octets(16),
        port: fc.integer({ min: 1, max: 65_535 }),
        leaf: digest,
        status: status(intermediates.length),
        lifetime: period,
        trustContexts: fc.uniqueArray(fc.stringMatching(/^[A-Z0-9-]{1,32}$/), {
          minLength: 1,
          maxLength: 32,
        }),
        quorum,
        directoryVersion: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
        perspectives: fc.array(perspective(ipv4 !== undefined, ipv6 !== undefined), {
          minLength: 1,
          maxLength: 64,
        }),
        extensions,
      })
      .map(({ lifetime: [producedAt, notAfter], extensions: some, ...fields }) => ({
        ...fields,
        ...present('ipv4', ipv4),
        ...present('ipv6', ipv6),
        intermediates,
        producedAt,
        notAfter,
        ...present('extensions', some),
      })),
  );

const serverName = fc.stringMatching(
  /^([a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?\.){0,5}[a-z]([a-z0-9-]{0,20}[a-z0-9])?$/,
);

/** Stands for a certificate: decoders of requests look no further than its tag. */
const certificate = octets(0, 60).map((content) => Uint8Array.of(0x30, content.length, ...content));

export const request: fc.Arbitrary<VoucherRequest> = fc
  .record({
    address: addresses,
    port: fc.integer({ min: 1, max: 65_535 }),
    serverName,
    startTls: fc.option(fc.constantFrom(...startTlsProtocols), { nil: undefined }),
    chains: fc.array(fc.array(certificate, { minLength: 1, maxLength: 10 }), { minLength: 1, maxLength: 4 }),
    nonce: fc.option(octets(16, 64), { nil: undefined }),
    extensions,
    signatures: fc.array(fc.option(octets(1, 1024), { nil: undefined }), { minLength: 4, maxLength: 4 }),
  })
  .map(({ address: [ipv4, ipv6], startTls, nonce, extensions: some, signatures, ...fields }) => {
    const proofs = fields.chains.flatMap((_, chain) => {
      const signature = signatures[chain];
      return signature ? [{ chain, signature }] : [];
    });
    return {
      ...fields,
      ...present('ipv4', ipv4),
      ...present('ipv6', ipv6),
      ...present('startTls', startTls),
      ...present('nonce', nonce),
      ...present('extensions', some),
      ...present('proofs', proofs.length > 0 ? proofs : undefined),
    };
  });

/** Up to that many octets of UTF-8, at least one. */
const text = (most: number) => fc.string({ unit: 'binary', minLength: 1, maxLength: Math.floor(most / 4) });

const outcome = fc
  .tuple(fc.constantFrom(...outcomeVerdicts), fc.option(text(64), { nil: undefined }))
  .map(([verdict, code]) => ({ verdict, ...present('code', code) }));

const perspectiveOutcome: fc.Arbitrary<PerspectiveOutcome> = fc
  .tuple(
    country,
    fc.constantFrom(...rirs),
    asn,
    fc.option(outcome, { nil: undefined }),
    fc.option(outcome, { nil: undefined }),
  )
  .map(([where, rir, network, ipv4, ipv6]) => ({
    country: where,
    rir,
    asn: network,
    ...present('ipv4', ipv4),
    ...present('ipv6', ipv6),
  }));

const result: fc.Arbitrary<ChainResult> = fc
  .record({
    leaf: fc.option(digest, { nil: undefined }),
    status: fc.constantFrom(...chainStatuses),
    reason: fc.constantFrom(...refusalReasons),
    retryAfter: fc.option(fc.integer({ min: 0, max: 2 ** 32 - 1 }), { nil: undefined }),
    detail: fc.option(text(1024), { nil: undefined }),
    voucher: octets(1, 500),
    perspectives: fc.array(perspectiveOutcome, { maxLength: 12 }),
  })
  .map(({ leaf, reason, retryAfter, detail, voucher: signed, ...fields }) => ({
    ...fields,
    ...present('leaf', leaf),
    ...present('reason', fields.status === 'refused' ? reason : undefined),
    ...present('retryAfter', retryAfter),
    ...present('detail', detail),
    ...present('voucher', fields.status === 'issued' ? signed : undefined),
  }));

export const response: fc.Arbitrary<VoucherResponse> = fc.record({
  results: fc.array(result, { minLength: 1, maxLength: 4 }),
});
