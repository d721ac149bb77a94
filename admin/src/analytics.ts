/** `mecai-admin campaign` and `mecai-admin token`: the operator's side of analytics. */
import { hash, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { loadConfig, readText } from '@mecai/runtime';
import type { Command } from './admin.ts';
import { printable } from './certificate-words.ts';
import { adminConfig } from './config.ts';
import { AdminError } from './error.ts';

const misused = (why: string) => new AdminError('wrong-usage', why);
const withinMs = 30_000;

const options = {
  config: { type: 'string' },
  json: { type: 'boolean' },
  name: { type: 'string' },
  endpoints: { type: 'string' },
  certificate: { type: 'string' },
  issuer: { type: 'string' },
  vouchers: { type: 'boolean' },
  rate: { type: 'string' },
  perspectives: { type: 'string' },
  rounds: { type: 'string' },
  every: { type: 'string' },
  state: { type: 'string' },
} as const;
type Values = ReturnType<typeof parse>['values'];
const parse = (args: readonly string[]) => parseArgs({ args: [...args], options, allowPositionals: true });

type Row = Readonly<Record<string, unknown>>;

export const campaign: Command = {
  summary: 'looks again: which certificates are still served?',
  usage: `usage: mecai-admin campaign <command> --config <file.json> [--json]

  order          has perspectives look again   --name <text>, and one of
           --issuer <name>                 wherever certificates of this CA were seen, by its name as analytics writes it
           --vouchers [--issuer <name>]    whatever vouchers that have not run out vouch for
           --certificate <SHA-256>         wherever it was seen
           --endpoints <file>              JSON: [{ "address", "port", "serverName", "startTls" }]
         [--perspectives <n>]              how many look at each endpoint (3)
         [--rate <n>]                      probes a minute over all (60)
         [--rounds <n>] [--every <s>]      how often, and seconds from round to round (1, 3600)
  list           [--state running|stopped|done]
  show <id>      what came of it, endpoint by endpoint
  stop <id>      ends it early

The file: { "analytics": { "url", "tokenFile" } }; the token needs the scopes read and operate.`,
  async run(args, environment) {
    const { values, positionals } = parse(args);
    const [verb, id = '', ...rest] = positionals;
    if (rest.length > 0) throw misused('campaign order, list, show or stop');
    if ((id !== '') !== (verb === 'show' || verb === 'stop')) throw misused('an id goes with show and stop');
    const print = (row: Row, words: string) => console.log(values.json ? JSON.stringify(row) : words);
    const body = verb === 'order' ? ordered(values) : undefined;
    const ask = api(values.config, environment);
    switch (verb) {
      case 'order': {
        const made = await ask('campaigns', body);
        return print(made, words(made));
      }
      case 'list': {
        const state = values.state === undefined ? '' : `&state=${encodeURIComponent(values.state)}`;
        const { items } = (await ask(`campaigns?limit=1000${state}`)) as { items: readonly Row[] };
        for (const one of items) print(one, words(one));
        return;
      }
      case 'show': {
        const page = (await ask(`campaigns/${encodeURIComponent(id)}`)) as unknown as Shown;
        if (values.json) return console.log(JSON.stringify(page));
        console.log(words(page.campaign));
        for (const [state, endpoints] of Object.entries(page.summary))
          console.log(`    ${endpoints} ${state}`);
        for (const one of page.results) console.log(result(one));
        return;
      }
      case 'stop': {
        const stopped = await ask(`campaigns/${encodeURIComponent(id)}/stop`, {});
        return print(stopped, words(stopped));
      }
      default:
        throw misused(verb === undefined ? 'order, list, show or stop?' : `no command ${verb}`);
    }
  },
};

interface Shown {
  readonly campaign: Row;
  readonly summary: Readonly<Record<string, number>>;
  readonly results: readonly Row[];
}

function ordered(values: Values): object {
  const { name = '', vouchers, certificate, endpoints, issuer } = values;
  if (name === '') throw misused('--name is needed');
  const choices = [
    ...(vouchers ? [{ kind: 'vouchers', subject: issuer ?? '' }] : []),
    ...(!vouchers && issuer !== undefined ? [{ kind: 'issuer', subject: issuer }] : []),
    ...(certificate === undefined ? [] : [{ kind: 'certificate', subject: certificate.toLowerCase() }]),
    ...(endpoints === undefined ? [] : [{ kind: 'endpoints', endpoints: listIn(endpoints) }]),
  ];
  if (choices.length !== 1) throw misused('one of --issuer, --vouchers, --certificate, --endpoints');
  const count = (text: string | undefined, option: string) => {
    if (text === undefined) return undefined;
    if (!/^[1-9]\d{0,8}$/.test(text)) throw misused(`${option}: a number`);
    return Number(text);
  };
  return {
    name,
    choice: choices[0],
    perMinute: count(values.rate, '--rate'),
    perspectives: count(values.perspectives, '--perspectives'),
    rounds: count(values.rounds, '--rounds'),
    everySeconds: count(values.every, '--every'),
  };
}

function listIn(file: string): unknown {
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch (cause) {
    throw misused(`${file}: ${(cause as Error).message}`);
  }
}

function api(file: string | undefined, environment: NodeJS.ProcessEnv) {
  if (file === undefined) throw misused('--config <file.json> is missing');
  const { analytics } = loadConfig(adminConfig, file, environment);
  if (!analytics) throw misused(`${file}: analytics is missing`);
  const authorization = `Bearer ${readText(analytics.tokenFile)}`;
  return async (path: string, body?: object): Promise<Row> => {
    const response = await fetch(new URL(`/api/v1/${path}`, analytics.url), {
      headers: { authorization, 'content-type': 'application/json' },
      signal: AbortSignal.timeout(withinMs),
      ...(body && { method: 'POST', body: JSON.stringify(body) }),
    });
    const answer = (await response.json()) as Row;
    if (response.ok) return answer;
    const why = `${String(answer['title'])}: ${String(answer['detail'] ?? answer['code'])}`;
    throw response.status === 400 ? misused(why) : new AdminError('refused', why);
  };
}

const text = (row: Row, member: string) => printable(String(row[member]));

const words = (row: Row): string =>
  `${text(row, 'id')}  ${text(row, 'state')}  ${text(row, 'name')}
    ${text(row, 'endpoints')} endpoints by ${text(row, 'kind')} ${text(row, 'subject')}, ordered ${text(row, 'created_at')} by ${text(row, 'author')}`;

function result(row: Row): string {
  const protocol = row['start_tls'] === '' ? '' : `/${text(row, 'start_tls')}`;
  const seen = (row['leaves'] as readonly string[]).map((leaf) => leaf.slice(0, 16)).join(' ');
  return `${text(row, 'state').padEnd(11)}  ${text(row, 'server_name')}:${text(row, 'port')}${protocol} at ${text(row, 'address')}  ${text(row, 'answered')} of ${text(row, 'perspectives')} answered${seen === '' ? '' : `, saw ${seen}`}`;
}

const scopes = ['read', 'sql', 'operate'];

export const token: Command = {
  summary: 'a token for the API of analytics',
  usage: `usage: mecai-admin token --name <name> --scopes read,sql,operate [--rate <requests a minute>]

  Makes a token for the API of analytics. The first line is the token, which is shown once; the second is its entry
  for the list in the file that \`api.tokens\` of analytics names.`,
  run(args) {
    const { values } = parseArgs({
      args: [...args],
      options: { name: { type: 'string' }, scopes: { type: 'string' }, rate: { type: 'string' } },
    });
    const { name = '', rate } = values;
    const wanted = (values.scopes ?? '').split(',').filter((scope) => scope !== '');
    if (!/^[a-z0-9][a-z0-9-]{0,62}$/.test(name))
      throw misused('--name: lower-case letters, digits and hyphens');
    if (wanted.length === 0 || wanted.some((scope) => !scopes.includes(scope)))
      throw misused(`--scopes: some of ${scopes.join(',')}`);
    if (rate !== undefined && !/^[1-9]\d{0,8}$/.test(rate)) throw misused('--rate: a number');
    const secret = randomBytes(32).toString('base64url');
    console.log(secret);
    console.log(
      JSON.stringify({
        name,
        sha256: hash('sha256', secret),
        scopes: wanted,
        ...(rate !== undefined && { requestsPerMinute: Number(rate) }),
      }),
    );
    return Promise.resolve();
  },
};
