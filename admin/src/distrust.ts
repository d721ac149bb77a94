/** `mecai-admin distrust`: the list of what the running signers distrust. */
import { hash, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { pemCertificates } from '@mecai/pki';
import type {
  Distrust,
  DistrustRecord,
  LiftDistrustResponse,
  ListDistrustResponse,
  SetDistrustResponse,
} from '@mecai/proto/signer';
import type { Command } from './admin.ts';
import { plain, words } from './distrust-words.ts';
import { AdminError } from './error.ts';
import { type Answer, type Signer, connectSigners, everySigner } from './signers.ts';

const usage = `usage: mecai-admin distrust <command> --config <file.json> [--json]

  add    distrust at once                   --reason <text> --author <name>, and one of
           --certificate <SHA-256 or PEM file>   one certificate
           --spki <SHA-256 or PEM file>          every certificate with this key
           --issuer <PEM file>                   whatever this CA, by its name, has issued
           --operator <organization>             every CA of this organization
         [--id <12 hex digits>]             of an entry that did not reach every signer
         [--context <TCI>]                  in this trust context only
         [--from <time>]                    in force from then on
         [--issued-after <time>]            only certificates issued after that
  lift   <id>                               --reason <text> --author <name>
  list   entries that stand                 [--all] with those that were lifted

The file: { "signers": [{ "address": "host:port", "id": "spiffe://…", "tls": { "certificate", "key", "ca" } }] }
Times are ISO 8601, such as 2026-11-22T10:00:00Z. When \`add\` returns 0, no voucher comes out any more; otherwise it
says which signers it did not reach.`;

const options = {
  config: { type: 'string' },
  json: { type: 'boolean' },
  all: { type: 'boolean' },
  certificate: { type: 'string' },
  spki: { type: 'string' },
  issuer: { type: 'string' },
  operator: { type: 'string' },
  context: { type: 'string' },
  from: { type: 'string' },
  'issued-after': { type: 'string' },
  reason: { type: 'string' },
  author: { type: 'string' },
  id: { type: 'string' },
} as const;

const parse = (args: readonly string[]) => parseArgs({ args: [...args], options, allowPositionals: true });
type Values = ReturnType<typeof parse>['values'];

export const distrust: Command = {
  summary: 'CAs and certificates that get no voucher any more, at once',
  usage,
  async run(args, environment) {
    const { values, positionals } = parse(args);
    const [verb, id, ...rest] = positionals;
    if (rest.length > 0) throw misused('distrust add, lift or list');
    if ((id !== undefined) !== (verb === 'lift')) throw misused('an id goes with `lift`, and only there');
    await run(verb, id, values, environment);
  },
};

async function run(
  verb: string | undefined,
  id: string | undefined,
  values: Values,
  environment: NodeJS.ProcessEnv,
): Promise<void> {
  const { reason = '', author = '' } = values;
  if (verb !== 'list' && (reason === '' || author === '')) throw misused('--reason and --author are needed');
  const message = verb === 'add' ? wanted(values) : undefined;
  if (values.config === undefined) throw misused('--config <file.json> is missing');
  const signers = connectSigners(values.config, environment);
  try {
    switch (verb) {
      case 'add': {
        // The same at every signer, so that one command lifts it again.
        const own = values.id ?? randomBytes(6).toString('hex');
        const answers = await everySigner<SetDistrustResponse>(signers, (client, within) =>
          client.setDistrust({ distrust: message, reason, author, id: own }, ...within),
        );
        return conclude(answers, values, `give the command again with --id ${own}`);
      }
      case 'lift': {
        const answers = await everySigner<LiftDistrustResponse>(signers, (client, within) =>
          client.liftDistrust({ id: id!, reason, author }, ...within),
        );
        return conclude(answers, values, 'give the command again');
      }
      case 'list':
        return await list(signers, values);
      default:
        throw misused(verb === undefined ? 'add, lift or list?' : `no command ${verb}`);
    }
  } finally {
    for (const { client } of signers) client.close();
  }
}

/** @throws AdminError `incomplete` unless it was done at every signer */
function conclude(
  answers: readonly Answer<{ readonly record: DistrustRecord | undefined }>[],
  { json = false }: Values,
  advice: string,
): void {
  const done = answers.flatMap((answer) => ('response' in answer ? [answer.response] : []));
  const record = done[0]?.record;
  if (record) show(record, json);
  report(answers, (failed) =>
    done.length === 0
      ? `nothing was changed: ${failed}`
      : `done at ${done.length} of ${answers.length} signers only, ${advice}: ${failed}`,
  );
}

const show = (record: DistrustRecord, json: boolean) =>
  console.log(json ? JSON.stringify(plain(record)) : words(record));

function report(answers: readonly Answer<unknown>[], said: (failed: string) => string): void {
  const failed = answers.flatMap((one) => ('error' in one ? [`${one.address}: ${one.error.message}`] : []));
  if (failed.length > 0) throw new AdminError('incomplete', said(failed.join('; ')));
}

/** Each entry once, and where it is not in force. */
async function list(signers: readonly Signer[], { json = false, all = false }: Values): Promise<void> {
  const answers = await everySigner<ListDistrustResponse>(signers, (client, within) =>
    client.listDistrust({ lifted: all }, ...within),
  );
  const heard = answers.flatMap((one) => ('response' in one ? [{ ...one, ids: idsOf(one.response) }] : []));
  const records = new Map(heard.flatMap(({ response }) => response.records.map((one) => [one.id, one])));
  for (const [id, record] of records) {
    const absent = heard.flatMap(({ address, ids }) => (ids.has(id) ? [] : [address]));
    if (json) console.log(JSON.stringify({ ...plain(record), ...(absent.length > 0 && { absent }) }));
    else console.log([words(record), ...absent.map((address) => `    not at ${address}`)].join('\n'));
  }
  report(answers, (failed) => `not all signers answered: ${failed}`);
}

const idsOf = ({ records }: ListDistrustResponse) => new Set(records.map(({ id }) => id));

function wanted(values: Values): Distrust {
  const { certificate, spki, issuer, operator } = values;
  const subjects: NonNullable<Distrust['subject']>[] = [
    ...(certificate === undefined
      ? []
      : [{ $case: 'certificate', certificate: hashOf(certificate, ({ der }) => der) } as const]),
    ...(spki === undefined ? [] : [{ $case: 'spki', spki: hashOf(spki, (one) => one.spki) } as const]),
    ...(issuer === undefined ? [] : [{ $case: 'issuer', issuer: certificateIn(issuer).subject } as const]),
    ...(operator === undefined ? [] : [{ $case: 'operator', operator } as const]),
  ];
  const [subject] = subjects;
  if (!subject || subjects.length > 1) throw misused('one of --certificate, --spki, --issuer, --operator');
  const from = time(values.from, '--from');
  const issuedAfter = time(values['issued-after'], '--issued-after');
  return { subject, trustContext: values.context ?? '', from, issuedAfter };
}

function certificateIn(file: string) {
  const [certificate, ...others] = pemCertificates(readFileSync(file, 'utf8'));
  if (!certificate || others.length > 0) throw misused(`${file}: one certificate is expected`);
  return certificate;
}

const hashOf = (value: string, part: (one: ReturnType<typeof certificateIn>) => Uint8Array): Uint8Array =>
  /^[0-9a-f]{64}$/i.test(value) ? Buffer.from(value, 'hex') : sha256(part(certificateIn(value)));

function time(text: string | undefined, option: string): number {
  if (text === undefined) return 0;
  const parsed = /^\d{4}-\d\d-\d\d(T.*Z)?$/.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(parsed)) throw misused(`${option}: a time such as 2026-11-22T10:00:00Z`);
  return parsed;
}

const sha256 = (bytes: Uint8Array): Buffer => hash('sha256', bytes, 'buffer');

const misused = (why: string) => new AdminError('wrong-usage', why);
