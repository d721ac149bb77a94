/** Requesters that cost little: HTTP/1.1 by hand, one request at a time on each connection. */
import { once } from 'node:events';
import { type TLSSocket, connect } from 'node:tls';
import { mediaTypes } from '@mecai/voucher';

export interface LeanLoad {
  readonly vouchers: number;
  readonly failures: number;
}

/**
 * The same request again and again, on so many connections.
 *
 * @param shortest octets of an answer's body: one without a voucher has fewer
 */
export async function leanLoad(
  url: string,
  ca: Buffer,
  connections: number,
  body: Uint8Array,
  shortest: number,
  seconds: number,
): Promise<LeanLoad> {
  const { host, hostname, port, pathname } = new URL(url);
  const head =
    `POST ${pathname} HTTP/1.1\r\nhost: ${host}\r\n` +
    `content-type: ${mediaTypes.request}\r\ncontent-length: ${body.length}\r\n\r\n`;
  const request = Buffer.concat([Buffer.from(head), body]);
  const sockets = Array.from({ length: connections }, () =>
    connect({ host: hostname, port: Number(port), ca }),
  );
  await Promise.all(sockets.map((socket) => once(socket, 'secureConnect')));
  const until = performance.now() + seconds * 1000;
  const counted = { vouchers: 0, failures: 0 };
  const one = (socket: TLSSocket) =>
    new Promise<void>((resolve, reject) => {
      listen(socket, (status, octets) => {
        if (status === 200 && octets >= shortest) counted.vouchers++;
        else counted.failures++;
        if (performance.now() < until) socket.write(request);
        else resolve();
      });
      socket.once('error', reject).once('close', () => reject(new Error('a connection was closed')));
      socket.write(request);
    });
  await Promise.all(sockets.map(one));
  for (const socket of sockets) socket.destroy();
  return counted;
}

/** Calls with status and octets of the body of each answer. */
function listen(socket: TLSSocket, answered: (status: number, octets: number) => void): void {
  let head = '';
  let [status, octets, missing] = [0, 0, 0];
  socket.on('data', (chunk: Buffer) => {
    let rest = chunk.length;
    if (missing === 0) {
      const before = head.length;
      head += chunk.toString('latin1');
      const end = head.indexOf('\r\n\r\n');
      if (end < 0) return;
      status = Number(head.slice(9, 12));
      octets = missing = Number(/\r\ncontent-length: (\d+)/i.exec(head)?.[1]);
      rest -= end + 4 - before;
      head = '';
    }
    missing -= rest;
    if (missing === 0) answered(status, octets);
  });
}
