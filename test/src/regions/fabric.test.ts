import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Fabric, openFabric } from './fabric.ts';

const run = promisify(execFile);
let fabric: Fabric;
beforeAll(() => {
  fabric = openFabric();
});
afterAll(() => fabric.close());

it('places have addresses of their own, reach each other and us, and can be cut off', async () => {
  const server = createServer((socket) => socket.on('error', () => undefined).end(`${socket.remoteAddress}`));
  server.listen(0, fabric.host);
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const { address, command, wire } = fabric.place('one');
  const ask = async (within: number) => {
    const script = `const s = require('net').connect({ host: '${fabric.host}', port: ${port}, localAddress: '${address}' });
      s.setTimeout(${within}, () => s.destroy(new Error('silence')));
      s.on('data', (d) => process.stdout.write(d)).on('error', (e) => { console.error(e.message); process.exitCode = 1; });`;
    const [program, ...words] = [...command, process.execPath, '-e', script];
    return run(program, words).then(
      ({ stdout }) => stdout,
      (error: { stderr: string }) => error.stderr.trim(),
    );
  };
  expect(await ask(20_000)).toBe(address);
  if (wire) {
    wire.cut();
    expect(await ask(500)).toBe('silence');
    wire.mend();
    expect(await ask(20_000)).toBe(address);
  }
  server.close();
});
