import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import * as z from 'zod';
import { RuntimeError, hostPort, loadConfig, path, splitHostPort } from './index.ts';

const directory = mkdtempSync(join(tmpdir(), 'mecai-config-'));
afterAll(() => rmSync(directory, { recursive: true }));

const schema = z.strictObject({
  listen: hostPort(),
  tls: z.strictObject({ certificate: path(), roots: z.array(path()).default([]) }),
  graceMs: z.number().int().default(500),
  nats: z.strictObject({ pinFile: path().optional() }).prefault({}),
  peer: z
    .union([z.strictObject({ socket: z.string() }), z.strictObject({ host: z.string(), port: z.number() })])
    .optional(),
  address: z.union([z.ipv4(), z.ipv6()]).optional(),
  store: z
    .discriminatedUnion('kind', [
      z.strictObject({ kind: z.literal('embedded'), directory: path() }),
      z.strictObject({ kind: z.literal('server'), url: z.string() }),
    ])
    .optional(),
});

function load(content: unknown, environment: Record<string, string> = {}) {
  const file = join(directory, 'config.json');
  writeFileSync(file, typeof content === 'string' ? content : JSON.stringify(content));
  return loadConfig(schema, file, environment);
}
const good = { listen: '127.0.0.1:1', tls: { certificate: 'a.pem', roots: ['r.pem', '/r2.pem'] } };

describe('configuration', () => {
  it('takes paths from the file’s directory and fills in defaults', () => {
    expect(load(good)).toEqual({
      listen: '127.0.0.1:1',
      tls: { certificate: join(directory, 'a.pem'), roots: [join(directory, 'r.pem'), '/r2.pem'] },
      graceMs: 500,
      nats: {},
    });
  });

  it('takes paths inside a union, too', () => {
    const store = { kind: 'embedded', directory: 'db' };
    expect(load({ ...good, store }).store).toEqual({ kind: 'embedded', directory: join(directory, 'db') });
    const server = { kind: 'server', url: 'http://store' };
    expect(load({ ...good, store: server }).store).toEqual(server);
  });

  it('lets the environment override and add members', () => {
    const config = load(good, { MECAI_GRACE_MS: '7', MECAI_NATS__PIN_FILE: 'pin', OTHER: 'x' });
    expect(config.graceMs).toBe(7);
    expect(config.nats.pinFile).toBe(join(directory, 'pin'));
    expect(load(good, { MECAI_TLS__CERTIFICATE: 'b.pem' }).tls.roots).toHaveLength(2);
  });

  it.each<[string, unknown, Record<string, string>, RegExp]>([
    ['a member misspelt', { ...good, graceMS: 1 }, {}, /config\.json:\n.*graceMS/],
    ['a wrong type', { ...good, graceMs: 'soon' }, {}, /graceMs: .*number/],
    ['a member missing', { listen: '127.0.0.1:1' }, {}, /tls: /],
    ['a wrong form', { ...good, listen: 'nowhere' }, {}, /listen: expected host:port/],
    ['a variable misspelt', good, { MECAI_GRACE_SECONDS: '1' }, /graceSeconds/],
    [
      'an alternative that is nearly right',
      { ...good, peer: { host: 'x', port: '1' } },
      {},
      /peer\.port: Invalid input: expected number, received string, in line 1/,
    ],
    ['none of the forms', { ...good, address: 'x' }, {}, /address: Invalid IPv4 address, or Invalid IPv6/],
    [
      'a kind that there is not',
      { ...good, store: { kind: 'disk' } },
      {},
      /store\.kind: .*'embedded' \| 'server'/,
    ],
    ['no JSON', '{', {}, /config\.json: /],
    ['no object', '[]', {}, /expected an object/],
  ])('says where it is wrong: %s', (_, content, environment, message) => {
    expect(() => load(content, environment)).toThrow(RuntimeError);
    expect(() => load(content, environment)).toThrow(message);
  });

  it('names a file that is not there', () => {
    expect(() => loadConfig(schema, join(directory, 'none.json'), {})).toThrow(/cannot read .*none\.json/);
  });

  it('splits host and port', () => {
    expect(splitHostPort('[::1]:443')).toEqual({ host: '::1', port: 443 });
    expect(splitHostPort('localhost:0')).toEqual({ host: 'localhost', port: 0 });
  });
});
