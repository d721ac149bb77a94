import { AddressError, parseAddress } from '@mecai/addresses';
import { parseCertificate } from '@mecai/pki';
import {
  type ChainResult,
  encodeVoucherResponseJson,
  isServerName,
  startTlsProtocols,
  type TbsVoucherRequest,
  VoucherError,
  type VoucherResponse,
} from '@mecai/voucher';
import { createPublicKey, hash, type KeyObject } from 'node:crypto';
import { parse } from 'node:path';
import { describePerspective } from '../describe.ts';
import { ClientError } from '../error.ts';
import { printable, requestVoucher } from '../request.ts';
import { readCertificates, readInput, readKey, writeOutput } from './files.ts';
import { integerOption, parseOptions, required } from './options.ts';
import { type Command, CommandError, exitCodes, type Terminal, usageError } from './usage.ts';

const help = `mecai request: ask a voucher authority (VA) to vouch for a server's certificate

  mecai request --va <url> --address <ip> --name <host> --chain <pem> [options]

  --va <url>          where the VA takes requests, such as https://va.example/vrp
  --va-ca <pem>       CAs that certify the VA's own server (default: the system's)
  --address <ip>      address of the server; once more for the other IP version
  --port <n>          port of the server (default: 443)
  --name <host>       name to ask the server for (SNI); must be in its certificate
  --starttls <p>      protocol spoken before TLS: ${startTlsProtocols.slice(0, 6).join(' ')}
                      ${startTlsProtocols.slice(6).join(' ')}
  --chain <pem>       the certificates as the server sends them, leaf first; up to
                      four times, for a server with several certificates
  --key <pem>         key of a leaf, to prove that you hold it; may be repeated
                      (without proof, requests are served under tighter limits)
  --client-auth       prove it by TLS client authentication in place of a signature;
                      takes one chain and one key
  --out <file>        where to write the voucher (DER); with several chains the
                      number of the chain is put before the extension
  --timeout <s>       seconds to wait for an answer (default: 60)
  --json              the VA's answer as JSON on standard output

Example:
  mecai request --va https://va.example/vrp --address 192.0.2.1 \\
    --name www.example.org --chain fullchain.pem --key privkey.pem --out voucher.der

Exit codes: 0 a voucher for every chain; 1 not for every chain; 2 usage;
  3 the VA could not be reached, or a file not be read or written
`;

export const requestCommand: Command = {
  summary: 'ask a voucher authority for vouchers',
  help,
  async run(args, terminal) {
    const { values } = parseOptions({
      args,
      options: {
        va: { type: 'string' },
        'va-ca': { type: 'string' },
        address: { type: 'string', multiple: true },
        port: { type: 'string', default: '443' },
        name: { type: 'string' },
        starttls: { type: 'string' },
        chain: { type: 'string', multiple: true },
        key: { type: 'string', multiple: true },
        'client-auth': { type: 'boolean', default: false },
        out: { type: 'string' },
        timeout: { type: 'string', default: '60' },
        json: { type: 'boolean', default: false },
      },
    });
    const va = required(values.va, '--va');
    const paths = required(values.chain, '--chain');
    if (paths.length > 4) throw usageError('--chain: four at most');
    const base = {
      ...addressesOption(required(values.address, '--address')),
      port: integerOption(values.port, '--port', 1, 65_535),
      serverName: nameOption(required(values.name, '--name')),
      ...startTlsOption(values.starttls),
    };
    const timeoutMs = integerOption(values.timeout, '--timeout', 1, 3_600) * 1_000;
    const chains = await Promise.all(paths.map(readCertificates));
    const keyFiles = await Promise.all(
      (values.key ?? []).map(async (path) => ({ path, ...(await readKey(path)) })),
    );
    const keys = keysByChain(chains, keyFiles);
    const ca =
      values['va-ca'] === undefined ? undefined : (await readInput(values['va-ca'])).toString('latin1');
    if (values['client-auth'] && (chains.length !== 1 || keyFiles.length !== 1)) {
      throw usageError('--client-auth takes one --chain and one --key');
    }
    const proof = values['client-auth']
      ? { client: { certificates: pem(chains[0]!), key: keyFiles[0]!.pem } }
      : { keys };

    const request: TbsVoucherRequest = { ...base, chains };
    const response = await asked(requestVoucher(va, request, { ...(ca && { ca }), ...proof, timeoutMs }));
    const outs = values.out === undefined ? [] : await writeVouchers(values.out, response);
    if (values.json) terminal.out(`${encodeVoucherResponseJson(response)}\n`);
    else printResults(response, chains, outs, terminal);
    return response.results.every((one) => one.status === 'issued') ? exitCodes.ok : exitCodes.negative;
  },
};

function addressesOption(texts: readonly string[]): Pick<TbsVoucherRequest, 'ipv4' | 'ipv6'> {
  const addresses = texts.map((text) => {
    try {
      return parseAddress(text);
    } catch (error) {
      if (error instanceof AddressError) throw usageError(`--address: ${error.message}`);
      throw error;
    }
  });
  const ipv4 = addresses.find((one) => one.length === 4);
  const ipv6 = addresses.find((one) => one.length === 16);
  if (addresses.length > Number(ipv4 !== undefined) + Number(ipv6 !== undefined)) {
    throw usageError('--address: one IPv4 and one IPv6 address at most');
  }
  return { ...(ipv4 && { ipv4 }), ...(ipv6 && { ipv6 }) };
}

function nameOption(name: string): string {
  if (!isServerName(name)) {
    throw usageError(`--name: a host name in lower case (A-labels), not ${JSON.stringify(name)}`);
  }
  return name;
}

function startTlsOption(text: string | undefined): Pick<TbsVoucherRequest, 'startTls'> {
  if (text === undefined) return {};
  const startTls = startTlsProtocols.find((one) => one === text);
  if (!startTls) throw usageError(`--starttls: one of ${startTlsProtocols.join(', ')}`);
  return { startTls };
}

/** Each key belongs to the chain whose leaf has its public half. */
function keysByChain(
  chains: readonly (readonly Uint8Array[])[],
  files: readonly { readonly path: string; readonly key: KeyObject }[],
): (KeyObject | undefined)[] {
  const keys: (KeyObject | undefined)[] = chains.map(() => undefined);
  for (const { path, key } of files) {
    const publicKey = createPublicKey(key);
    const at = chains.findIndex(([leaf]) => publicKeyOf(leaf!)?.equals(publicKey));
    if (at < 0) throw usageError(`--key ${path}: no --chain begins with a certificate for this key`);
    keys[at] = key;
  }
  return keys;
}

function publicKeyOf(certificate: Uint8Array): KeyObject | undefined {
  const spki = Buffer.from(parseCertificate(certificate).spki);
  try {
    return createPublicKey({ key: spki, format: 'der', type: 'spki' });
  } catch {
    // A key of a kind that OpenSSL does not know is nobody's here.
    return undefined;
  }
}

const pem = (chain: readonly Uint8Array[]): string =>
  chain
    .map((one) => Buffer.from(one).toString('base64').replace(/.{64}/g, '$&\n'))
    .map((body) => `-----BEGIN CERTIFICATE-----\n${body}\n-----END CERTIFICATE-----\n`)
    .join('');

async function asked(answer: Promise<VoucherResponse>): Promise<VoucherResponse> {
  try {
    return await answer;
  } catch (cause) {
    if (cause instanceof ClientError) {
      const exitCode = cause.code === 'bad-url' ? exitCodes.usage : exitCodes.unavailable;
      throw new CommandError(exitCode, cause.message, { cause });
    }
    if (cause instanceof VoucherError) throw usageError(cause.message);
    throw cause;
  }
}

/** Gives back the file of each result, if it has one. */
async function writeVouchers(out: string, { results }: VoucherResponse): Promise<(string | undefined)[]> {
  const files: (string | undefined)[] = [];
  for (const [i, { voucher }] of results.entries()) {
    const { dir, name, ext } = parse(out);
    const file = results.length === 1 ? out : `${dir ? `${dir}/` : ''}${name}.${i}${ext}`;
    if (voucher) await writeOutput(file, voucher);
    files.push(voucher && file);
  }
  return files;
}

function printResults(
  { results }: VoucherResponse,
  chains: readonly (readonly Uint8Array[])[],
  files: readonly (string | undefined)[],
  { out }: Terminal,
): void {
  for (const [i, result] of results.entries()) {
    const leaf = hash('sha256', chains[i]![0]!, 'hex');
    out(`chain ${i}, certificate SHA-256 ${leaf}: ${verdict(result)}\n`);
    if (result.detail !== undefined) out(`  ${printable(result.detail)}\n`);
    if (result.retryAfter !== undefined) out(`  ask again in ${result.retryAfter} seconds\n`);
    for (const one of result.perspectives) out(`  ${printable(describePerspective(one))}\n`);
    if (files[i] !== undefined) out(`  written to ${files[i]}\n`);
  }
}

const verdict = ({ status, reason }: ChainResult): string =>
  reason === undefined ? status : `${status} (${reason})`;
