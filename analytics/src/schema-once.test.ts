/** On a cluster a change of the schema waits for every node, so that with one lost none may be made needlessly. */
import type { ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { type Server, createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { createLogger } from '@mecai/runtime';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Store } from './store.ts';
import { startClickHouse } from './testing/process.ts';

const root = mkdtempSync(join(tmpdir(), 'mecai-schema-once-'));
const statements: string[] = [];
let engine: { child: ChildProcess; port: number };
let listening: Server;

beforeAll(async () => {
  engine = await startClickHouse(join(root, 'served'));
  listening = createServer((request, response) => {
    const pass = async () => {
      const body = await buffer(request);
      const asked = new URL(request.url!, 'http://server').searchParams.get('query') ?? '';
      statements.push(`${asked}\n${body.toString()}`.trim());
      const answer = await fetch(`http://127.0.0.1:${engine.port}${request.url}`, {
        method: request.method!,
        headers: { authorization: request.headers.authorization ?? '' },
        ...(body.length > 0 && { body }),
      });
      response.writeHead(answer.status).end(Buffer.from(await answer.arrayBuffer()));
    };
    pass().catch((error: unknown) => response.writeHead(502).end(String(error)));
  });
  await new Promise<void>((resolve) => listening.listen(0, '127.0.0.1', resolve));
});
afterAll(() => {
  listening.close();
  engine.child.kill('SIGKILL');
  rmSync(root, { recursive: true, force: true });
});

const opened = async () => {
  statements.length = 0;
  const { port } = listening.address() as AddressInfo;
  const store = await Store.open(
    {
      store: {
        kind: 'server',
        url: `http://127.0.0.1:${port}`,
        user: 'default',
        database: 'once',
        leaseMs: 60_000,
      },
      retentionDays: 30,
      insertMs: 10_000,
      lease: { holder: 'a', lost: () => {}, had: false },
    },
    createLogger('schema', 'silent'),
  );
  await store.release();
  await store.close();
  return statements.filter((statement) => /^(CREATE|ALTER|DROP|RENAME)\b/i.test(statement));
};

it('is changed at the first opening, and at none after it', { timeout: 120_000 }, async () => {
  expect((await opened()).length).toBeGreaterThan(10);
  expect(await opened()).toEqual([]);
});
