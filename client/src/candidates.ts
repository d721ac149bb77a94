/** The ways on which vouchers reach a client, each from bytes to what may be vouchers. Nothing is verified here. */
import { decodeVoucherBundle, VoucherError, vouchersInOcspResponse } from '@mecai/voucher';

export type Route =
  /** A private TLS extension of the handshake, one for each VA. */
  | 'tls-extension'
  /** Containers in the stapled OCSP response. */
  | 'ocsp'
  /** A file of the server's own, read on the same connection. */
  | 'well-known'
  /** Asked of a VA by the client itself. */
  | 'direct';

export interface Candidate {
  readonly route: Route;
  /** ContentInfo of a signed voucher, or so it is claimed. */
  readonly voucher: Uint8Array;
}

/** Private extensions of a handshake by codepoint; an empty one says that there is no voucher. */
export const candidatesFromExtensions = (extensions: ReadonlyMap<number, Uint8Array>): Candidate[] =>
  [...extensions.values()]
    .filter((voucher) => voucher.length > 0)
    .map((voucher) => ({ route: 'tls-extension', voucher }));

/** The stapled OCSP response, if there was one. */
export const candidatesFromOcsp = (response: Uint8Array | undefined): Candidate[] =>
  (response ? vouchersInOcspResponse(response) : []).map((voucher) => ({ route: 'ocsp', voucher }));

/** The file `bundlePath` of the server; one that cannot be read holds none. */
export function candidatesFromBundle(bundle: Uint8Array): Candidate[] {
  try {
    return decodeVoucherBundle(bundle).map((voucher) => ({ route: 'well-known', voucher }));
  } catch (error) {
    if (error instanceof VoucherError) return [];
    throw error;
  }
}
