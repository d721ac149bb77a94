/** VoucherResponse as JSON: the members of the grammar in camel case, bytes in base64. */
import { VoucherError } from './error.ts';
import { parseJson } from './json-parser.ts';
import { base64, JsonReader } from './json-reader.ts';
import { countryPattern, rirs, voucherLimits } from './voucher.ts';
import {
  type ChainResult,
  chainStatuses,
  maxResponseOctets,
  type Outcome,
  outcomeVerdicts,
  type PerspectiveOutcome,
  refusalReasons,
  type VoucherResponse,
  vrpLimits as limits,
  vrpVersion,
} from './vrp.ts';
import { encodeVoucherResponse } from './vrp-encoder.ts';

/**
 * {
 *   "version": 1,
 *   "results": [{
 *     "leaf": "<base64>",                               optional
 *     "status": "refused",
 *     "reason": "untrusted",                            exactly when refused
 *     "retryAfter": 3600,                               seconds, optional
 *     "detail": "…",                                    for people, optional
 *     "voucher": "<base64>",                            exactly when issued
 *     "perspectives": [{
 *       "country": "DE", "rir": "ripencc", "asn": 64496,
 *       "ipv4": { "verdict": "inconclusive", "code": "timeout-connect" },  optional, as "ipv6" and "code" are
 *     }]
 *   }]
 * }
 *
 * Throws `VoucherError` with `malformed`, naming the member, or `unsupported-version`.
 */
export function decodeVoucherResponseJson(bytes: Uint8Array): VoucherResponse {
  const root = new JsonReader(parseJson('voucher response', bytes, maxResponseOctets), 'response');
  root.only('version', 'results');
  if (root.member('version').integer(0, 2 ** 31) !== vrpVersion) {
    throw new VoucherError('unsupported-version', 'response.version');
  }
  return { results: root.member('results').array(1, limits.chains).map(readResult) };
}

function readResult(reader: JsonReader): ChainResult {
  reader.only('leaf', 'status', 'reason', 'retryAfter', 'detail', 'voucher', 'perspectives');
  const digestOctets = voucherLimits.digestOctets;
  const leaf = reader.optional('leaf')?.bytes(digestOctets, digestOctets);
  const status = reader.member('status').word(chainStatuses);
  const reason = reader.optional('reason')?.word(refusalReasons);
  reader.check((reason !== undefined) === (status === 'refused'), '"reason" belongs exactly when refused');
  const retryAfter = reader.optional('retryAfter')?.integer(0, limits.retryAfterSeconds);
  const detail = reader.optional('detail')?.text(limits.detailOctets);
  const voucher = reader.optional('voucher')?.bytes(1, voucherLimits.signedOctets);
  reader.check((voucher !== undefined) === (status === 'issued'), '"voucher" belongs exactly when issued');
  const perspectives = reader.member('perspectives').array(0, voucherLimits.perspectives);
  return {
    ...(leaf && { leaf }),
    status,
    ...(reason && { reason }),
    ...(retryAfter !== undefined && { retryAfter }),
    ...(detail !== undefined && { detail }),
    ...(voucher && { voucher }),
    perspectives: perspectives.map(readPerspective),
  };
}

function readPerspective(reader: JsonReader): PerspectiveOutcome {
  reader.only('country', 'rir', 'asn', 'ipv4', 'ipv6');
  const country = reader.member('country').matching(countryPattern, 'country code');
  const rir = reader.member('rir').word(rirs);
  const asn = reader.member('asn').integer(1, 2 ** 32 - 1);
  const first = reader.optional('ipv4');
  const ipv4 = first && readOutcome(first);
  const second = reader.optional('ipv6');
  const ipv6 = second && readOutcome(second);
  return { country, rir, asn, ...(ipv4 && { ipv4 }), ...(ipv6 && { ipv6 }) };
}

function readOutcome(reader: JsonReader): Outcome {
  reader.only('verdict', 'code');
  const verdict = reader.member('verdict').word(outcomeVerdicts);
  const code = reader.optional('code')?.text(limits.codeOctets);
  return { verdict, ...(code !== undefined && { code }) };
}

/** JSON text of a response. Throws `not-encodable` as `encodeVoucherResponse` does. */
export function encodeVoucherResponseJson(response: VoucherResponse): string {
  encodeVoucherResponse(response);
  return JSON.stringify({
    version: vrpVersion,
    results: response.results.map(({ leaf, status, reason, retryAfter, detail, voucher, perspectives }) => ({
      leaf: leaf && base64(leaf),
      status,
      reason,
      retryAfter,
      detail,
      voucher: voucher && base64(voucher),
      perspectives: perspectives.map(({ country, rir, asn, ipv4, ipv6 }) => ({
        country,
        rir,
        asn,
        ipv4: ipv4 && { verdict: ipv4.verdict, code: ipv4.code },
        ipv6: ipv6 && { verdict: ipv6.verdict, code: ipv6.code },
      })),
    })),
  });
}
