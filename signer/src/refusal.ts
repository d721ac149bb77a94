import { RefusalCode, type Refused } from '@mecai/proto/signer';

/** What the asker is told; a `cause` is for this side's log only. */
export class RefusedError extends Error {
  override readonly name = 'RefusedError';
  readonly refused: Refused;

  constructor(code: RefusalCode, detail: string, faults: Refused['faults'] = [], options?: ErrorOptions) {
    super(detail, options);
    this.refused = { code, detail, faults };
  }
}

const names = new Map(
  Object.entries(RefusalCode).map(([name, value]) => [
    value,
    name.replace('REFUSAL_CODE_', '').toLowerCase().replaceAll('_', '-'),
  ]),
);

/** `no-quorum` for REFUSAL_CODE_NO_QUORUM. */
export const refusalName = (code: RefusalCode): string => names.get(code) ?? 'unknown';
