import { randomInt } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer } from 'node:net';

/**
 * A TCP port for a server that is told where to listen, at once or again after an end. Nobody else gets it from
 * here while this process lives: a UDP socket of the same number is held as the mark. It lies below the ports that
 * Linux gives to connections and to listeners without one (32768 and up), so these cannot take it either.
 */
export async function freePort(host = '127.0.0.1'): Promise<number> {
  for (;;) {
    const port = randomInt(20_000, 32_768);
    if ((await marked(port)) && (await isFree(port, host))) return port;
  }
}

async function marked(port: number): Promise<boolean> {
  const mark = createSocket('udp4');
  try {
    mark.bind(port, '127.0.0.1');
    await once(mark, 'listening');
    mark.unref();
    return true;
  } catch (error) {
    mark.close();
    return inUse(error);
  }
}

async function isFree(port: number, host: string): Promise<boolean> {
  const server = createServer().listen(port, host);
  try {
    await once(server, 'listening');
  } catch (error) {
    return inUse(error);
  }
  server.close();
  await once(server, 'close');
  return true;
}

/** @returns false; @throws what is not that */
function inUse(error: unknown): false {
  if ((error as NodeJS.ErrnoException).code === 'EADDRINUSE') return false;
  throw error;
}
