export * from './error.ts';
export { mecaiArc, oids } from './oids.ts';
export * from './voucher.ts';
export { encodeVoucher } from './voucher-encoder.ts';
export { decodeVoucher } from './voucher-decoder.ts';
export {
  type DigestAlgorithm,
  ecdsaSigValue,
  type PreparedVoucher,
  prepareVoucher,
  type VoucherSigner,
  voucherSigner,
  type VoucherSignerOptions,
} from './cms-encoder.ts';
export { parseSignedVoucher, type SignedVoucher } from './cms-decoder.ts';
export * from './vrp.ts';
export { encodeTbsVoucherRequest, encodeVoucherRequest, encodeVoucherResponse } from './vrp-encoder.ts';
export { decodeVoucherRequest, decodeVoucherResponse } from './vrp-decoder.ts';
export { signKeyProof, verifyKeyProof } from './key-proof.ts';
export { verifyVoucher, type VerifiedVoucher, type VerifierOptions, VoucherVerifier } from './verify.ts';
export { vaStatus, type VaStatus } from './va-status.ts';
export { isMatch, type ShownQuorum, shownQuorum } from './quorum.ts';
export {
  type LinterOptions,
  type LintProblem,
  type LintRule,
  lintRules,
  lintVoucher,
  type VoucherLinter,
  voucherLinter,
} from './lint.ts';
export { decodeVoucherRequestJson, encodeVoucherRequestJson } from './request-json.ts';
export { decodeVoucherResponseJson, encodeVoucherResponseJson } from './response-json.ts';
export {
  checkVoucherRequest,
  type RequestCheck,
  type RequestCheckOptions,
  type RequestProblem,
  type RequestRule,
} from './request-check.ts';
export { voucherJson } from './voucher-json.ts';
export { type JsonValue, parseJson } from './json-parser.ts';
export { JsonReader } from './json-reader.ts';
export * from './jws.ts';
export * from './staple-container.ts';
export * from './voucher-bundle.ts';
export { readTime, timeText } from './json-time.ts';
export * from './directory.ts';
export * from './renewal.ts';
