/** Words for the telephone: read by an operator from a sheet, or by a telephony provider. */
import { grouped } from './codes.ts';

/** What a contact is told. */
export interface Call {
  readonly domain: string;
  /** `tel:+…` */
  readonly phones: readonly string[];
  readonly code: string;
}

/** @param publicUrl without a final slash */
export function callText(call: Pick<Call, 'domain' | 'code'>, number: string, publicUrl: string): string {
  return [
    `This is the voucher authority at ${new URL(publicUrl).host}.`,
    `Somebody asks us to approve a certificate for ${call.domain}.`,
    'You are called because the domain registry lists this number.',
    `If you know of the request, go to ${publicUrl}/approval`,
    `and enter the transaction number ${grouped(number)} and the approval code ${grouped(call.code)}.`,
    'Check there what is asked for before you enter the code.',
    'If you do not know of it, do nothing, and tell whoever runs the domain.',
  ].join('\n');
}

/** Everything that an operator has to do for one transaction: every number listed is called. */
export const callSheet = (number: string, calls: readonly Call[], publicUrl: string): string =>
  [
    `Transaction ${grouped(number)}: call every number below.`,
    ...calls.flatMap((call) => [
      '',
      call.domain,
      ...call.phones.map((phone) => `  [ ] ${phone.slice('tel:'.length)}`),
      '',
      ...callText(call, number, publicUrl)
        .split('\n')
        .map((line) => `  ${line}`),
    ]),
    '',
  ].join('\n');
