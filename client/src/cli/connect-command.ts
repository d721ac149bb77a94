import { toPem } from '@mecai/pki';
import type { CountryResponse } from 'maxmind';
import { createPublicKey, hash, type KeyObject, randomBytes } from 'node:crypto';
import { isIP } from 'node:net';
import { ClientError } from '../error.ts';
import { Guard, type GuardOptions, type Outcome } from '../guard/guard.ts';
import { intranetRevocation } from '../guard/intranet.ts';
import { type ClientPolicy, defaultPolicy, parsePolicy } from '../guard/policy.ts';
import { reportOf, submitReport } from '../report.ts';
import { vaAgent } from '../request.ts';
import { readVaList, type VaList } from '../va-list/va-list.ts';
import { coloursOf } from './colours.ts';
import { readCertificates, readInput } from './files.ts';
import { integerOption, parseOptions, required } from './options.ts';
import { outcomeText } from './outcome-text.ts';
import { type Command, CommandError, type ExitCode, exitCodes, type Terminal, usageError } from './usage.ts';

const help = `mecai connect: connect to a server with a second opinion, and tell what was checked

  mecai connect <https url> --list <jws> --list-key <pem> [options]

  --list <jws>        signed list of voucher authorities (VAs), as client vendors ship it
  --list-key <pem>    the vendor's public key
  --policy <json>     modes, rules of choice, intranets (default: enforce, three VAs by chance)
  --address <ip>      connect to this address instead of asking the DNS
  --ca <pem>          CAs to believe for the server (default: the system's)
  --country <cc>      where this client is, for rules about it
  --geoip <mmdb>      where addresses are, for rules about the destination
  --direct            as a last resort ask the VAs themselves. They learn who visits which
                      server, and when
  --va-ca <pem>       CAs that certify the VAs' own servers, for --direct and --report
  --report <va>       tell this VA of a failed check: it learns server, certificate, time
                      and your address
  --timeout <s>       for the handshake (default: 10)
  --json              as one JSON object

Nothing is sent to the server but the handshake, and a request for its vouchers where the
handshake has none that suffice.

Example:
  mecai connect https://www.example.org --list vas.jws --list-key vendor.pem

Exit codes: 0 accepted; 1 refused, or accepted with a warning; 2 usage;
  3 the server could not be reached, or a file not be read
`;

const options = {
  list: { type: 'string' },
  'list-key': { type: 'string' },
  policy: { type: 'string' },
  address: { type: 'string' },
  ca: { type: 'string' },
  country: { type: 'string' },
  geoip: { type: 'string' },
  direct: { type: 'boolean', default: false },
  'va-ca': { type: 'string' },
  report: { type: 'string' },
  timeout: { type: 'string', default: '10' },
  json: { type: 'boolean', default: false },
} as const;

export const connectCommand: Command = {
  summary: 'connect to a server with a second opinion',
  help,
  async run(args, terminal) {
    const { values, positionals } = parseOptions({ args, allowPositionals: true, options });
    const url = urlOf(positionals);
    const address = values.address;
    if (address !== undefined && isIP(address) === 0) throw usageError(`--address: ${address} is none`);
    const { country } = values;
    if (country !== undefined && !/^[A-Z]{2}$/.test(country)) throw usageError(`--country: two capitals`);
    const handshakeMs = integerOption(values.timeout, '--timeout', 1, 600) * 1_000;
    const list = await listOf(
      required(values.list, '--list'),
      required(values['list-key'], '--list-key'),
      terminal,
    );
    const reportTo = values.report === undefined ? undefined : vaNamed(list, values.report);
    const policy = withDirect(await policyOf(values.policy), values.direct);
    const ca = values.ca === undefined ? undefined : await pemOf(values.ca);
    const agent = vaAgent(values['va-ca'] === undefined ? {} : { ca: await pemOf(values['va-ca']) });
    const countryOf = values.geoip === undefined ? undefined : await countries(values.geoip);
    const outcomes: Outcome[] = [];
    const guard = new Guard({
      list,
      policy,
      now: terminal.now,
      random: randomBytes,
      onOutcome: (outcome) => outcomes.push(outcome),
      direct: { agent },
      intranetSource: intranetRevocation(terminal.now),
      ...(country !== undefined && { clientCountry: country }),
      ...(countryOf && { countryOf }),
    });
    const host = url.hostname.replace(/^\[(.*)\]$/, '$1');
    try {
      const { socket } = await guard.connect({
        host: address ?? host,
        port: Number(url.port) || 443,
        servername: isIP(host) === 0 ? host : '',
        http: true,
        handshakeMs,
        ...(ca !== undefined && { ca }),
      });
      socket.destroy();
    } catch (error) {
      if (!(error instanceof ClientError)) throw error;
      if (error.code !== 'refused') {
        throw new CommandError(exitCodes.unavailable, error.message, { cause: error });
      }
    }
    try {
      const [outcome] = outcomes;
      if (outcome && reportTo) await report(reportTo, outcome, agent, terminal);
      return tell(outcome, host, values.json, terminal);
    } finally {
      agent.destroy();
    }
  },
};

function tell(
  outcome: Outcome | undefined,
  host: string,
  json: boolean,
  { out, colour = false }: Terminal,
): ExitCode {
  if (!outcome) {
    out(json ? `${JSON.stringify({ host, mode: 'off' })}\n` : `${host}: the mode for this host is off\n`);
    return exitCodes.ok;
  }
  out(json ? `${JSON.stringify(outcomeJson(outcome))}\n` : outcomeText(outcome, coloursOf(colour)));
  return outcome.verdict === 'accept' ? exitCodes.ok : exitCodes.negative;
}

export const outcomeJson = ({ host, mode, verdict, handshake, choice, check, ...rest }: Outcome) => ({
  host,
  mode,
  verdict,
  address: handshake.address,
  port: handshake.port,
  chain: handshake.chain.map((one) => hash('sha256', one, 'hex')),
  chosen: choice?.vas.map(({ id }) => id),
  intranet: rest.intranet,
  routes: rest.routes,
  vouchers: check.vouchers.map(({ route, va, verified, failures }) => ({
    route,
    va: va?.id,
    identity: verified && Buffer.from(verified.contentHash).toString('hex'),
    failures,
  })),
  status: check.status,
  failures: check.failures,
  firstFailures: rest.firstFailures,
});

async function report(
  vrp: string,
  outcome: Outcome,
  agent: ReturnType<typeof vaAgent>,
  { now, err }: Terminal,
): Promise<void> {
  const failed = reportOf(outcome, now());
  if (!failed) return err('mecai connect: nothing to report\n');
  try {
    await submitReport(vrp, failed, { agent });
    err(`mecai connect: reported to ${vrp}\n`);
  } catch (error) {
    if (!(error instanceof ClientError)) throw error;
    err(`mecai connect: not reported: ${error.message}\n`);
  }
}

function urlOf([text, ...more]: readonly string[]): URL {
  if (text === undefined || more.length > 0) throw usageError('one URL, such as https://www.example.org');
  const whole = text.includes('://') ? text : `https://${text}`;
  if (!URL.canParse(whole) || new URL(whole).protocol !== 'https:')
    throw usageError(`${text} is no https URL`);
  return new URL(whole);
}

/** Read and verified. Shared with other commands. */
export async function listOf(file: string, keyFile: string, { now }: Terminal): Promise<VaList> {
  const bytes = await readInput(file);
  let key: KeyObject;
  try {
    key = createPublicKey((await readInput(keyFile)).toString('latin1'));
  } catch (cause) {
    if (cause instanceof CommandError) throw cause;
    throw new CommandError(exitCodes.unavailable, `cannot read ${keyFile}: no public key in PEM`, { cause });
  }
  try {
    // Whatever its name: the user says that this key is the vendor's.
    return readVaList(bytes, { keys: { get: () => key }, now: now() });
  } catch (cause) {
    if (!(cause instanceof ClientError)) throw cause;
    throw new CommandError(exitCodes.unavailable, `${file}: ${cause.message}`, { cause });
  }
}

/** @returns its URL */
export function vaNamed(list: VaList, id: string): string {
  const va = list.vas.find((one) => one.id === id);
  if (!va) throw usageError(`no VA ${id}; there are ${list.vas.map((one) => one.id).join(', ')}`);
  return va.vrp;
}

async function policyOf(file: string | undefined): Promise<ClientPolicy> {
  if (file === undefined) return defaultPolicy;
  const bytes = await readInput(file);
  try {
    return parsePolicy(bytes);
  } catch (cause) {
    if (!(cause instanceof ClientError)) throw cause;
    throw new CommandError(exitCodes.unavailable, `${file}: ${cause.message}`, { cause });
  }
}

const withDirect = (policy: ClientPolicy, direct: boolean): ClientPolicy =>
  direct && !policy.routes.includes('direct') ? { ...policy, routes: [...policy.routes, 'direct'] } : policy;

async function pemOf(file: string): Promise<string> {
  return (await readCertificates(file)).map((one) => toPem(one, 'CERTIFICATE')).join('');
}

/** maxmind is loaded only where it is asked for. */
async function countries(file: string): Promise<NonNullable<GuardOptions['countryOf']>> {
  try {
    const { open } = await import('maxmind');
    const reader = await open<CountryResponse>(file);
    return (address) => reader.get(address)?.country?.iso_code;
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new CommandError(exitCodes.unavailable, `cannot read ${file}: ${why}`, { cause });
  }
}
