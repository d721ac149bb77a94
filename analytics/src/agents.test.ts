import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { signRegistry } from '@mecai/corroboration';
import { WatchRegistryResponse } from '@mecai/proto/signer';
import { createLogger } from '@mecai/runtime';
import type { Msg, NatsConnection, Subscription } from '@nats-io/transport-node';
import { afterAll, expect, it } from 'vitest';
import { Agents, registryKeysOf } from './agents.ts';

const directory = mkdtempSync(join(tmpdir(), 'mecai-agents-'));
afterAll(() => rmSync(directory, { recursive: true }));
const log = createLogger('agents', 'silent');
const operator = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const stranger = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const file = join(directory, 'registry.json');
const keyFile = join(directory, 'registry.pub');
writeFileSync(keyFile, operator.publicKey.export({ format: 'pem', type: 'spki' }));
const keys = registryKeysOf({ registryKeys: [keyFile] });

const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const agent = (name: string, key = publicKey) => ({
  name,
  publicKey: key.export({ format: 'der', type: 'spki' }).toString('base64'),
  city: 'Lima',
  country: 'PE',
  latitude: -12,
  longitude: -77,
  rir: 'lacnic',
  asn: 64_500,
});
const registryOf = (version: number, name: string) =>
  Buffer.from(JSON.stringify({ version, agents: [agent(name)] }));
/** Puts a registry there; `signer`: whose signature goes beside it. */
function put(version: number, name: string, signer = operator): void {
  const registry = registryOf(version, name);
  writeFileSync(file, registry);
  writeFileSync(`${file}.sig`, Buffer.from(signRegistry(registry, signer.privateKey)).toString('base64'));
}
const names = (agents: Agents) => agents.all().map(({ name }) => name);

it('follows updates that an operator has signed, and no others', () => {
  put(1, 'lima');
  const agents = new Agents(file, log, keys);
  expect(names(agents)).toEqual(['lima']);
  put(2, 'oslo');
  expect(agents.find('oslo')?.name).toBe('oslo');
  // One that is gone is gone.
  expect(agents.find('lima')).toBeUndefined();
  put(3, 'tokyo', stranger);
  expect(agents.refresh()).toBe(false);
  expect(names(agents)).toEqual(['oslo']);
  writeFileSync(`${file}.sig`, 'nothing');
  expect(agents.refresh()).toBe(false);
  rmSync(`${file}.sig`);
  expect(agents.refresh()).toBe(false);
  expect(names(agents)).toEqual(['oslo']);
  put(4, 'lagos');
  expect(agents.refresh()).toBe(true);
  expect(names(agents)).toEqual(['lagos']);
});

it('goes back to no earlier version, though it was signed once', () => {
  put(7, 'lima');
  const agents = new Agents(file, log, keys);
  put(6, 'oslo');
  expect(agents.refresh()).toBe(false);
  expect(names(agents)).toEqual(['lima']);
  put(8, 'tokyo');
  expect(agents.refresh()).toBe(true);
});

it('hears from coordinators of updates that an operator has signed, and of no others', () => {
  put(1, 'lima');
  const agents = new Agents(file, log, keys);
  const said: string[] = [];
  log.warn = ({ reason }: { reason: string }) => void said.push(reason);
  type Options = Parameters<NatsConnection['subscribe']>[1];
  let callback: NonNullable<Options>['callback'];
  const bus = {
    subscribe: (subject: string, options: Options) => {
      expect(subject).toBe('mecai.registry.*');
      callback = options?.callback;
      return {} as Subscription;
    },
  };
  agents.follow(bus);
  const tell = (data: Uint8Array) => void callback!(null, { data, subject: 'mecai.registry.va1' } as Msg);
  const update = (version: number, name: string, signer = operator) => {
    const registry = registryOf(version, name);
    const signature = signRegistry(registry, signer.privateKey);
    tell(WatchRegistryResponse.encode({ registry, signature }).finish());
  };
  update(5, 'oslo');
  expect(names(agents)).toEqual(['oslo']);
  expect(said).toEqual([]);
  // Every few seconds; what is wrong with it is said once.
  update(5, 'oslo');
  expect(said).toEqual([]);
  for (let i = 0; i < 3; i++) update(6, 'tokyo', stranger);
  expect(said.splice(0)).toEqual([expect.stringContaining('mecai.registry.va1: registry: not signed')]);
  update(4, 'tokyo');
  update(5, 'tokyo');
  expect(said.splice(0)).toEqual([
    expect.stringContaining('version 4 is not above 5'),
    expect.stringContaining('version 5 is not above 5'),
  ]);
  tell(Uint8Array.of(0x0a, 0x7f));
  tell(new Uint8Array());
  expect(said.splice(0)).toHaveLength(2);
  expect(names(agents)).toEqual(['oslo']);
  // The file is no way back.
  put(2, 'tokyo');
  expect(agents.refresh()).toBe(false);
  put(6, 'lagos');
  expect(agents.refresh()).toBe(true);
  expect(names(agents)).toEqual(['lagos']);
  // Without keys nobody could tell an update from another.
  let asked = 0;
  new Agents(file, log).follow({ subscribe: () => ({ asked: ++asked }) as unknown as Subscription });
  expect(asked).toBe(0);
});

it('does not start with a registry that nobody has signed; without keys none needs to be', () => {
  put(1, 'lima', stranger);
  expect(() => new Agents(file, log, keys)).toThrow('not signed');
  rmSync(`${file}.sig`);
  expect(() => new Agents(file, log, keys)).toThrow('registry.json.sig');
  expect(names(new Agents(file, log))).toEqual(['lima']);
});

it('begins with none, which nobody has to sign, and takes nothing then that nobody has signed', () => {
  rmSync(`${file}.sig`, { force: true });
  writeFileSync(file, JSON.stringify({ version: 1, agents: [] }));
  const agents = new Agents(file, log, keys);
  expect(names(agents)).toEqual([]);
  writeFileSync(file, JSON.stringify({ version: 2, agents: [] }));
  expect(agents.refresh()).toBe(false);
  put(2, 'lima', stranger);
  expect(agents.refresh()).toBe(false);
  put(2, 'lima');
  expect(agents.refresh()).toBe(true);
  expect(names(agents)).toEqual(['lima']);
});

it('takes P-256 keys only', () => {
  const other = join(directory, 'other.pub');
  for (const text of [
    'no key',
    generateKeyPairSync('ed25519').publicKey.export({ format: 'pem', type: 'spki' }),
  ]) {
    writeFileSync(other, text);
    expect(() => registryKeysOf({ registryKeys: [other] })).toThrow(other);
  }
});
