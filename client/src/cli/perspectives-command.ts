import { ClientError } from '../error.ts';
import { changesOf, type DirectoryMark, fetchDirectory, fetchHistory, linesOf } from '../perspectives.ts';
import { printable, vaAgent } from '../request.ts';
import { listOf } from './connect-command.ts';
import { readCertificates, readInput } from './files.ts';
import { integerOption, parseOptions, required } from './options.ts';
import { type Command, CommandError, exitCodes, type Terminal, usageError } from './usage.ts';
import type { VerifiedDirectory } from '@mecai/voucher';

const help = `mecai perspectives: where a voucher authority (VA) looks from, by its own signed word

  mecai perspectives <va> --list <jws> --list-key <pem> [options]
  mecai perspectives <url> --roots <pem> [options]

  <va>                name of a VA in the list, or the URL where it takes requests
  --roots <pem>       the VA's roots
  --va-ca <pem>       CAs that certify the VA's own server (default: the system's)
  --history           what every version changed, each proven by the digest in the next
  --since <n:sha256>  with --history: the version seen last and its digest, in hex; a
                      history that does not lead to it is refused
  --json              as one JSON object

Example:
  mecai perspectives https://va.example/vrp --roots va-root.pem --history

Exit codes: 0 shown; 1 it does not verify, or its history was written anew; 2 usage;
  3 the VA could not be reached, or a file not be read
`;

export const perspectivesCommand: Command = {
  summary: 'show where a voucher authority looks from',
  help,
  async run(args, terminal) {
    const { values, positionals } = parseOptions({
      args,
      allowPositionals: true,
      options: {
        list: { type: 'string' },
        'list-key': { type: 'string' },
        roots: { type: 'string' },
        'va-ca': { type: 'string' },
        history: { type: 'boolean', default: false },
        since: { type: 'string' },
        json: { type: 'boolean', default: false },
      },
    });
    const [va, ...more] = positionals;
    if (va === undefined || more.length > 0) throw usageError('one VA, by its name or its URL');
    const mark = values.since === undefined ? undefined : markOf(values.since);
    const { vrp, roots } = await vaOf(va, values, terminal);
    const ca =
      values['va-ca'] === undefined ? {} : { ca: (await readInput(values['va-ca'])).toString('latin1') };
    const agent = vaAgent(ca);
    const options = { roots, now: terminal.now(), agent, ...(mark && { mark }) };
    try {
      const history = values.history
        ? await fetchHistory(vrp, options)
        : [await fetchDirectory(vrp, options)];
      if (values.json) terminal.out(`${JSON.stringify(history.map(directoryJson))}\n`);
      else terminal.out(values.history ? historyText(history) : directoryText(history[0]!));
      return exitCodes.ok;
    } catch (cause) {
      if (!(cause instanceof ClientError)) throw cause;
      const negative = cause.code === 'directory-untrusted' || cause.code === 'history-rewritten';
      const exitCode = negative ? exitCodes.negative : exitCodes.unavailable;
      throw new CommandError(exitCode, cause.message, { cause });
    } finally {
      agent.destroy();
    }
  },
};

interface VaOptions {
  readonly list?: string | undefined;
  readonly 'list-key'?: string | undefined;
  readonly roots?: string | undefined;
}

async function vaOf(va: string, values: VaOptions, terminal: Terminal) {
  if (values.list === undefined) {
    return { vrp: va, roots: await readCertificates(required(values.roots, '--roots or --list')) };
  }
  const list = await listOf(values.list, required(values['list-key'], '--list-key'), terminal);
  const entry = list.vas.find(({ id, vrp }) => id === va || vrp === va);
  if (!entry) throw usageError(`no VA ${va}; there are ${list.vas.map(({ id }) => id).join(', ')}`);
  return entry;
}

function markOf(text: string): DirectoryMark {
  const [, version, digest] = /^(\d{1,10}):([0-9a-f]{64})$/i.exec(text) ?? [];
  if (version === undefined || digest === undefined) throw usageError('--since: such as 12:<64 hex digits>');
  return { version: integerOption(version, '--since', 1, 2 ** 32 - 1), digest: Buffer.from(digest, 'hex') };
}

const directoryText = ({ directory, digest }: VerifiedDirectory): string =>
  [
    `version ${directory.version} of ${directory.publishedAt.toISOString()}`,
    `SHA-256 ${Buffer.from(digest).toString('hex')}`,
    ...linesOf(directory).map((line) => `  ${printable(line)}`),
    '',
  ].join('\n');

function historyText(history: readonly VerifiedDirectory[]): string {
  const [{ directory, digest }] = history as [VerifiedDirectory];
  const mark = `${directory.version}:${Buffer.from(digest).toString('hex')}`;
  return [
    ...changesOf(history).flatMap(({ version, publishedAt, lines }) => [
      `version ${version} of ${publishedAt.toISOString()}`,
      ...lines.map((line) => `  ${printable(line)}`),
    ]),
    `remember for --since: ${mark}`,
    '',
  ].join('\n');
}

const directoryJson = ({ directory, digest }: VerifiedDirectory) => ({
  ...directory,
  ...(directory.previous && {
    previous: {
      version: directory.previous.version,
      digest: Buffer.from(directory.previous.digest).toString('hex'),
    },
  }),
  digest: Buffer.from(digest).toString('hex'),
});
