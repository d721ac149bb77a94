import { AddressError, parseAddress } from '@mecai/addresses';
import { VoucherError, voucherJson, VoucherVerifier } from '@mecai/voucher';
import { type Check, checkVoucher, type Expectations } from '../check.ts';
import { describeVaStatus, describeVoucher } from '../describe.ts';
import { readCertificates, readVoucher } from './files.ts';
import { integerOption, onlyFile, parseOptions, required } from './options.ts';
import { type Command, CommandError, exitCodes, usageError } from './usage.ts';

const help = `mecai verify: whether a voucher holds, and speaks for a given server

  mecai verify <file> --roots <pem> [options]

  <file>             a voucher in DER, PEM or base64; - is standard input
  --roots <pem>      roots of the voucher authorities to believe
  --address <ip>     the address connected to must be the one vouched for
  --port <n>         likewise the port
  --chain <pem>      likewise the certificates the server sent, leaf first; none of
                     them may come from the voucher authority's own CA
  --context <id>     the voucher must name this trust context, such as MOZ
  --max-age <s>      refuse vouchers produced longer ago, in seconds
  --at <time>        judge as of this time (ISO 8601; default: now)
  --json             the findings as one JSON object

What is not given is not checked.

Example:
  mecai verify voucher.der --roots va-roots.pem --address 192.0.2.1 --chain fullchain.pem

Exit codes: 0 the voucher holds; 1 it does not; 2 usage; 3 a file could not be read
`;

export const verifyCommand: Command = {
  summary: 'check a voucher',
  help,
  async run(args, { out, now }) {
    const { values, positionals } = parseOptions({
      args,
      allowPositionals: true,
      options: {
        roots: { type: 'string' },
        address: { type: 'string' },
        port: { type: 'string' },
        chain: { type: 'string' },
        context: { type: 'string' },
        'max-age': { type: 'string' },
        at: { type: 'string' },
        json: { type: 'boolean', default: false },
      },
    });
    const file = onlyFile(positionals);
    const rootsFile = required(values.roots, '--roots');
    const at = values.at === undefined ? now() : timeOption(values.at);
    const maxAge = values['max-age'];
    const maxAgeSeconds = maxAge === undefined ? undefined : integerOption(maxAge, '--max-age', 0, 2 ** 31);
    const expectations: Expectations = {
      ...(values.address !== undefined && { address: addressOption(values.address) }),
      ...(values.port !== undefined && { port: integerOption(values.port, '--port', 1, 65_535) }),
      ...(values.context !== undefined && { trustContext: values.context }),
      ...(values.chain !== undefined && { chain: await readCertificates(values.chain) }),
    };
    const roots = await readCertificates(rootsFile);
    const verifier = verifierFor(rootsFile, roots, maxAgeSeconds);
    const check = checkVoucher(await readVoucher(file), expectations, { verifier, now: at });
    if (values.json) out(`${JSON.stringify(checkJson(check, at))}\n`);
    else out(checkText(check, expectations, at));
    return check.failures.length === 0 ? exitCodes.ok : exitCodes.negative;
  },
};

function verifierFor(
  file: string,
  roots: readonly Uint8Array[],
  maxAgeSeconds: number | undefined,
): VoucherVerifier {
  try {
    return new VoucherVerifier({ roots, ...(maxAgeSeconds !== undefined && { maxAgeSeconds }) });
  } catch (cause) {
    if (!(cause instanceof VoucherError)) throw cause;
    throw new CommandError(exitCodes.unavailable, `cannot read ${file}: ${cause.message}`, { cause });
  }
}

function addressOption(text: string): string {
  try {
    parseAddress(text);
    return text;
  } catch (error) {
    if (error instanceof AddressError) throw usageError(`--address: ${error.message}`);
    throw error;
  }
}

function timeOption(text: string): Date {
  const time = new Date(text);
  // A time without an offset would mean another moment on every machine.
  if (Number.isNaN(time.getTime()) || !/^\d{4}-\d\d-\d\d(T.*(Z|[+-]\d\d:?\d\d))?$/.test(text)) {
    throw usageError(`--at: a time such as 2026-11-22T12:00:00Z, not ${JSON.stringify(text)}`);
  }
  return time;
}

function checkText({ failures, verified }: Check, expectations: Expectations, at: Date): string {
  const words = verified
    ? `${describeVoucher(verified.content, verified.vaCertificate)}\n` +
      `VA             ${describeVaStatus(verified.vaStatus)}\n\n`
    : '';
  if (failures.length > 0) {
    return `${words}${failures.map((one) => `FAILED ${one.code}: ${one.message}\n`).join('')}`;
  }
  const checked = ['signature and path to a root', 'time', ...Object.keys(expectations)].join(', ');
  return `${words}OK as of ${at.toISOString()} (checked: ${checked})\n`;
}

const checkJson = ({ failures, verified }: Check, at: Date) => ({
  ok: failures.length === 0,
  at: at.toISOString(),
  failures,
  ...(verified && {
    identity: Buffer.from(verified.contentHash).toString('hex'),
    vaStatus: verified.vaStatus.status,
    voucher: voucherJson(verified.content),
  }),
});
