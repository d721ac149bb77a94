import { nameText, parseCertificate, PkiError } from '@mecai/pki';
import { parseSignedVoucher, type SignedVoucher, VoucherError, voucherJson } from '@mecai/voucher';
import { describeRevocation, describeVoucher } from '../describe.ts';
import { readVoucher } from './files.ts';
import { onlyFile, parseOptions } from './options.ts';
import { type Command, CommandError, exitCodes } from './usage.ts';

const help = `mecai inspect: show what a voucher says, without judging whether it is true

  mecai inspect <file> [--json]

  <file>      a voucher in DER, PEM or base64; - is standard input
  --json      as one JSON object

Example:
  mecai inspect voucher.der

Exit codes: 0 shown; 1 not a voucher; 2 usage; 3 the file could not be read
`;

export const inspectCommand: Command = {
  summary: 'show what a voucher says',
  help,
  async run(args, { out }) {
    const { values, positionals } = parseOptions({
      args,
      allowPositionals: true,
      options: { json: { type: 'boolean', default: false } },
    });
    const file = onlyFile(positionals);
    const bytes = await readVoucher(file);
    const signed = parsed(file, bytes);
    if (values.json) {
      out(`${JSON.stringify(inspectionJson(signed))}\n`);
    } else {
      out(`${describeVoucher(signed.voucher, certificateOf(signed))}\n\n`);
      out(`identity       SHA-256 ${hex(signed.contentHash)}\n`);
      out(`signed         ${signed.signingTime.toISOString()}, over ${signed.digestAlgorithm}\n`);
      for (const one of signed.revocation) out(`about the VA   ${describeRevocation(one)}\n`);
      out(`size           ${bytes.length} octets, ${signed.content.length} of them content\n`);
      out('The signature was not verified: mecai verify does that.\n');
    }
    return exitCodes.ok;
  },
};

function parsed(file: string, bytes: Uint8Array): SignedVoucher {
  try {
    return parseSignedVoucher(bytes);
  } catch (cause) {
    if (!(cause instanceof VoucherError)) throw cause;
    throw new CommandError(exitCodes.negative, `${file} is no voucher (${cause.code}): ${cause.message}`, {
      cause,
    });
  }
}

const inspectionJson = (signed: SignedVoucher) => ({
  identity: hex(signed.contentHash),
  digestAlgorithm: signed.digestAlgorithm,
  signingTime: signed.signingTime.toISOString(),
  vaCertificate: Buffer.from(signed.vaCertificate).toString('base64'),
  vaSubject: subjectOf(signed),
  revocation: signed.revocation.map(({ kind, der }) => ({
    kind,
    der: Buffer.from(der).toString('base64'),
  })),
  verified: false,
  voucher: voucherJson(signed.voucher),
});

/** Undefined if it cannot be read: then the rest is still worth showing. */
function certificateOf(signed: SignedVoucher) {
  try {
    return parseCertificate(signed.vaCertificate);
  } catch (error) {
    if (error instanceof PkiError) return undefined;
    throw error;
  }
}

function subjectOf(signed: SignedVoucher): string | undefined {
  try {
    const certificate = certificateOf(signed);
    return certificate && nameText(certificate.subject);
  } catch (error) {
    if (error instanceof PkiError) return undefined;
    throw error;
  }
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
