import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { expect, test, vi } from 'vitest';
import { freePort } from './free-port.ts';

const drawn = vi.hoisted(() => ({ ports: [] as number[] }));
vi.mock('node:crypto', () => ({ randomInt: () => drawn.ports.shift() }));

test('a port that somebody else was given, in this process or another, is not given again', async () => {
  drawn.ports = [19_801, 19_801, 19_802];
  expect(await freePort()).toBe(19_801);
  const other = `const s = require('node:dgram').createSocket('udp4');
    s.once('error', (e) => { console.log(e.code); }); s.bind(19801, '127.0.0.1', () => { console.log('got it'); s.close(); });`;
  expect(execFileSync(process.execPath, ['-e', other], { encoding: 'utf8' })).toBe('EADDRINUSE\n');
  expect(await freePort()).toBe(19_802);
});

test('a port that somebody listens on is not given', async () => {
  const server = createServer().listen(19_803, '127.0.0.1');
  await once(server, 'listening');
  drawn.ports = [19_803, 19_804];
  expect(await freePort()).toBe(19_804);
  server.close();
});

test('an address that is not here is an error, not a search without end', async () => {
  drawn.ports = [19_805];
  await expect(freePort('192.0.2.1')).rejects.toThrow('EADDRNOTAVAIL');
});
