import { connect } from 'node:net';
import { type ConnectionOptions, connect as secure } from 'node:tls';

/**
 * At the door of a node for other servers: routes speak TLS at once, leaf nodes are greeted in the clear before.
 *
 * @returns all that is heard over TLS after `words`, up to what is waited for or the end of the connection
 */
export function knock(
  { host, port, greeted }: { host: string; port: number; greeted: boolean },
  identity: ConnectionOptions,
  words: string,
  until: RegExp,
): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>();
  let heard = '';
  const end = () => resolve(heard);
  const socket = connect(port, host).on('error', end).on('close', end);
  socket.once(greeted ? 'data' : 'connect', () => {
    // Who it is does not matter here.
    const tls = secure({ ...identity, socket, checkServerIdentity: () => undefined });
    tls.once('secureConnect', () => tls.write(words));
    tls.on('data', (data) => {
      heard += String(data);
      if (until.test(heard)) end();
    });
    tls.on('error', end).on('close', end);
  });
  return promise.finally(() => socket.destroy());
}
