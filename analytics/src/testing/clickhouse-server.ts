/**
 * The real engine behind as much of ClickHouse's HTTP interface as the client uses, for where no server can be
 * installed: `clickhouse-server.ts <directory> <port> [<user>:<password>…]` as a child process with an IPC channel. Sent
 * `die-after-insert`, it stores the next insert and dies before it answers.
 */
import { type IncomingMessage, createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { rmSync, writeFileSync } from 'node:fs';
import { buffer } from 'node:stream/consumers';
import { Session } from 'chdb';

const directory = process.argv[2]!;
const session = new Session(directory);
const logins = process.argv.slice(4).map((login) => `Basic ${Buffer.from(login).toString('base64')}`);
let dying = false;
process.on('message', (message) => (dying = message === 'die-after-insert'));
process.on('disconnect', () => process.exit());

const own = new Set(['query', 'database', 'query_id', 'session_id', 'role', 'default_format']);
const httpOnly = /^(wait_end_of_query|send_progress|enable_http|http_)/;
/** The session is shared, so one request after another. */
let turn: Promise<unknown> = Promise.resolve();

/** Parameters come as ClickHouse writes fields of TabSeparated; lists have escapes of their own. */
const unescaped = (value: string) =>
  value.startsWith('[') ? value : value.replace(/\\(.)/gs, (_, one: string) => escapes[one] ?? one);
const escapes: Readonly<Record<string, string>> = { n: '\n', t: '\t', r: '\r', b: '\b', f: '\f', 0: '\0' };

async function run(request: IncomingMessage): Promise<Uint8Array> {
  const { searchParams } = new URL(request.url!, 'http://server');
  const body = await buffer(request);
  const parameters: Record<string, string> = {};
  const before: string[] = [`USE ${searchParams.get('database') ?? 'default'}`];
  for (const [name, value] of searchParams) {
    if (name.startsWith('param_')) parameters[name.slice('param_'.length)] = unescaped(value);
    else if (!own.has(name) && !httpOnly.test(name)) before.push(`SET ${name} = '${value}'`);
  }
  const asked = searchParams.get('query') ?? '';
  // Text follows the statement; binary data, and rows for input(), it can read from a file only.
  const file = / FROM input\(|FORMAT Native$/.test(asked) ? `${directory}/body` : undefined;
  const format = /FORMAT (\w+)$/.exec(asked)?.[1];
  const query = !file
    ? [asked, body.toString()].filter(Boolean).join('\n')
    : asked.includes(' FROM input(')
      ? asked
          .replace(/ FROM input\(('(?:[^'\\]|\\.)*')\)/, ` FROM file('${file}', ${format}, $1)`)
          .replace(/FORMAT \w+$/, '')
      : asked.replace(/FORMAT Native$/, `FROM INFILE '${file}' FORMAT Native`);
  const mine = turn.then(async () => {
    if (file) writeFileSync(file, body);
    for (const statement of before) await session.queryAsync(statement);
    const bound = Object.keys(parameters).length > 0;
    const options = { format: searchParams.get('default_format') ?? 'TabSeparated' };
    return await (bound
      ? session.queryBindAsync(query, parameters, options)
      : session.queryAsync(query, options));
  });
  turn = mine.catch(() => {}).finally(() => file && rmSync(file));
  const result = await mine;
  if (dying && query.startsWith('INSERT INTO observations ')) process.kill(process.pid, 'SIGKILL');
  return result.bytes();
}

const server = createServer((request, response) => {
  if (request.url === '/ping') {
    response.end('Ok.\n');
    return;
  }
  if (logins.length > 0 && !logins.includes(request.headers.authorization ?? '')) {
    response.writeHead(403).end('Code: 516. DB::Exception: Authentication failed. (AUTHENTICATION_FAILED)');
    return;
  }
  run(request).then(
    (bytes) => response.end(bytes),
    (error: unknown) => {
      const code = /Code: (\d+)/.exec(String(error))?.[1] ?? '1000';
      response
        .writeHead(code === '516' ? 403 : 500, { 'x-clickhouse-exception-code': code })
        .end(String(error));
    },
  );
});
server.listen(Number(process.argv[3] ?? 0), '127.0.0.1', () => {
  process.send?.({ port: (server.address() as AddressInfo).port });
});
