/** `mecai-admin distrust`: the list of what a running signer distrusts. */
import { hash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { Metadata, type ServiceError, credentials, status } from '@grpc/grpc-js';
import { nameText, pemCertificates } from '@mecai/pki';
import {
  type Distrust,
  type DistrustAct,
  type DistrustRecord,
  type LiftDistrustResponse,
  OperatorServiceClient,
  type SetDistrustResponse,
} from '@mecai/proto/signer';
import { hostPort, loadConfig, mutualTls, readMutualTls, spiffeId, spiffeIdOf } from '@mecai/runtime';
import * as z from 'zod';
import type { Command } from './admin.ts';
import { AdminError } from './error.ts';

const usage = `usage: mecai-admin distrust <command> --config <file.json> [--json]

  add    distrust at once                   --reason <text> --author <name>, and one of
           --certificate <SHA-256 or PEM file>   one certificate
           --spki <SHA-256 or PEM file>          every certificate with this key
           --issuer <PEM file>                   whatever this CA, by its name, has issued
           --operator <organization>             every CA of this organization
         [--context <TCI>]                  in this trust context only
         [--from <time>]                    in force from then on
         [--issued-after <time>]            only certificates issued after that
  lift   <id>                               --reason <text> --author <name>
  list   entries that stand                 [--all] with those that were lifted

The file: { "signer": { "address": "host:port", "id": "spiffe://…", "tls": { "certificate", "key", "ca" } } }
Times are ISO 8601, such as 2026-11-22T10:00:00Z. When \`add\` returns, no voucher comes out any more.`;

const adminConfig = z.strictObject({
  signer: z.strictObject({ address: hostPort(), id: spiffeId(), tls: mutualTls() }),
});

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
} as const;

const parse = (args: readonly string[]) => parseArgs({ args: [...args], options, allowPositionals: true });
type Values = ReturnType<typeof parse>['values'];

export const distrust: Command = {
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
  const { json = false, reason = '', author = '' } = values;
  const show = (record: DistrustRecord | undefined) => {
    if (record) console.log(json ? JSON.stringify(plain(record)) : words(record));
  };
  if (verb !== 'list' && (reason === '' || author === '')) throw misused('--reason and --author are needed');
  const wantedDistrust = verb === 'add' ? wanted(values) : undefined;
  if (values.config === undefined) throw misused('--config <file.json> is missing');
  const client = connect(values.config, environment);
  try {
    switch (verb) {
      case 'add':
        return show(
          (
            await call((done: Done<SetDistrustResponse>) =>
              client.setDistrust({ distrust: wantedDistrust, reason, author }, ...within(done)),
            )
          ).record,
        );
      case 'lift':
        return show(
          (
            await call((done: Done<LiftDistrustResponse>) =>
              client.liftDistrust({ id: id!, reason, author }, ...within(done)),
            )
          ).record,
        );
      case 'list': {
        const lifted = values.all ?? false;
        const { records } = await call((done: Done<{ records: DistrustRecord[] }>) =>
          client.listDistrust({ lifted }, ...within(done)),
        );
        records.forEach(show);
        return;
      }
      default:
        throw misused(verb === undefined ? 'add, lift or list?' : `no command ${verb}`);
    }
  } finally {
    client.close();
  }
}

type Done<T> = (error: ServiceError | null, response: T) => void;

const answerWithinMs = 5_000;
const within = <T>(done: Done<T>) =>
  [new Metadata(), { deadline: Date.now() + answerWithinMs }, done] as const;

const call = <T>(send: (done: Done<T>) => unknown): Promise<T> =>
  new Promise((resolve, reject) => {
    send((error, response) => {
      if (!error) resolve(response);
      else if (error.code === status.INVALID_ARGUMENT) reject(misused(error.details));
      else reject(error);
    });
  });

function connect(file: string, environment: NodeJS.ProcessEnv): OperatorServiceClient {
  const { signer } = loadConfig(adminConfig, file, environment);
  const { ca, key, certificate } = readMutualTls(signer.tls);
  const secure = credentials.createSsl(ca, key, certificate, {
    // The SPIFFE ID takes the place of the host name (SPIFFE X509-SVID section 5).
    checkServerIdentity: (_, { raw }) => {
      const shown = spiffeIdOf(raw);
      if (shown === signer.id) return undefined;
      return new Error(`signer shows ${shown ?? 'no SPIFFE ID'}, not ${signer.id}`);
    },
  });
  // Node refuses an IP address as SNI, and no host name counts here.
  return new OperatorServiceClient(signer.address, secure, { 'grpc.ssl_target_name_override': 'signer' });
}

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

/** As one JSON object: hashes in hex, times in ISO 8601. */
function plain({ id, distrust, set, lifted }: DistrustRecord): Record<string, unknown> {
  const shown = (done: DistrustAct) => ({ ...done, at: iso(done.at) });
  return {
    id,
    ...shownDistrust(distrust),
    ...(set && { set: shown(set) }),
    ...(lifted && { lifted: shown(lifted) }),
  };
}

function shownDistrust(distrust: Distrust | undefined): Record<string, string> {
  const { subject, trustContext = '', from = 0, issuedAfter = 0 } = distrust ?? {};
  return {
    ...shownSubject(subject),
    ...(trustContext !== '' && { trustContext }),
    ...(from > 0 && { from: iso(from) }),
    ...(issuedAfter > 0 && { issuedAfter: iso(issuedAfter) }),
  };
}

function shownSubject(subject: Distrust['subject']): Record<string, string> {
  switch (subject?.$case) {
    case 'certificate':
      return { certificate: hex(subject.certificate) };
    case 'spki':
      return { spki: hex(subject.spki) };
    case 'issuer':
      return { issuer: nameText(subject.issuer) };
    case 'operator':
      return { operator: subject.operator };
    case undefined:
      return {};
    default:
      return subject satisfies never;
  }
}

function words(record: DistrustRecord): string {
  const { id, distrust } = record;
  const what = shownDistrust(distrust);
  const told = (verb: string, done: DistrustAct | undefined) =>
    done ? [`    ${verb} ${iso(done.at)} by ${done.author} (${done.identity}): ${done.reason}`] : [];
  const about = Object.entries(what).map(([name, value]) => `${name} ${value}`);
  const head = `${id}  ${about.join(', ')}`;
  return [head, ...told('set', record.set), ...told('lifted', record.lifted)].join('\n');
}

const sha256 = (bytes: Uint8Array): Buffer => hash('sha256', bytes, 'buffer');
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const iso = (milliseconds: number) => new Date(milliseconds).toISOString();

const misused = (why: string) => new AdminError('wrong-usage', why);
