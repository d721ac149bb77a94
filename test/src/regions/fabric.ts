/**
 * Where the processes of a layout live, each at an address of its own. As root on Linux each is in a network namespace,
 * joined by veth to one bridge, and can be cut off: its end of the wire is pulled, and nobody is told. Elsewhere they
 * are on addresses of loopback, and cannot.
 */
import { execFileSync } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { existsSync, readFileSync, readdirSync } from 'node:fs';

export interface Place {
  readonly address: string;
  /** What starts a process there. */
  readonly command: readonly string[];
  /** Absent where nobody can be cut off. */
  readonly wire?: { cut(): void; mend(): void };
}

export interface Fabric {
  /** Where this process is, for those in the places. */
  readonly host: string;
  /** All of its addresses. */
  readonly prefix: string;
  /** Whether processes can be cut off. */
  readonly cuts: boolean;
  place(name: string): Place;
  /** Once nothing runs there any more. */
  close(): void;
}

const bridgeName = /^mecai(\d+)$/;
const ip = (...args: string[]) => execFileSync('ip', args, { stdio: 'pipe', encoding: 'utf8' });

export function openFabric(): Fabric {
  return mayMakeNamespaces() ? namespaces() : loopback();
}

function mayMakeNamespaces(): boolean {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return false;
  const name = `mecai-try-${process.pid}`;
  try {
    ip('netns', 'add', name);
    ip('netns', 'exec', name, 'true');
    return true;
  } catch {
    return false;
  } finally {
    try {
      ip('netns', 'del', name);
    } catch {
      // It was never made.
    }
  }
}

/** 198.18.0.0/15 is for such networks (RFC 2544); the bridge's name is the claim to a part of it. */
function namespaces(): Fabric {
  sweep();
  const number = claim();
  const bridge = `mecai${number}`;
  const address = (host: number) => `198.${18 + (number >> 8)}.${number & 255}.${host}`;
  ip('addr', 'add', `${address(1)}/24`, 'dev', bridge);
  ip('link', 'set', bridge, 'up');
  const made: string[] = [];
  const close = () => {
    process.off('exit', close);
    remove(bridge);
  };
  process.once('exit', close);
  return {
    host: address(1),
    prefix: `${address(0)}/24`,
    cuts: true,
    place(name) {
      const host = made.length + 2;
      const space = `${bridge}-${name}`;
      const wire = `${bridge}.${host}`;
      ip('netns', 'add', space);
      made.push(space);
      ip('link', 'add', wire, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', space);
      ip('link', 'set', wire, 'master', bridge, 'up');
      ip('-n', space, 'addr', 'add', `${address(host)}/24`, 'dev', 'eth0');
      for (const device of ['lo', 'eth0']) ip('-n', space, 'link', 'set', device, 'up');
      return {
        address: address(host),
        command: ['ip', 'netns', 'exec', space],
        wire: {
          // Taken off the bridge, not down: the process must not be told.
          cut: () => ip('link', 'set', wire, 'nomaster'),
          mend: () => ip('link', 'set', wire, 'master', bridge),
        },
      };
    },
    close,
  };
}

function claim(): number {
  for (let tries = 0; ; tries++) {
    const number = randomInt(512);
    try {
      ip('link', 'add', `mecai${number}`, 'type', 'bridge');
      // Whose it is, for those who sweep.
      ip('link', 'set', `mecai${number}`, 'alias', String(process.pid));
      return number;
    } catch (error) {
      if (tries === 20) throw error;
    }
  }
}

/** Removes what others left behind who were killed. */
function sweep(): void {
  for (const bridge of readdirSync('/sys/class/net').filter((name) => bridgeName.test(name))) {
    try {
      const owner = readFileSync(`/sys/class/net/${bridge}/ifalias`, 'utf8').trim();
      if (owner !== '' && !existsSync(`/proc/${owner}`)) remove(bridge);
    } catch {
      // Somebody else sweeps, too.
    }
  }
}

/**
 * Everything of one fabric; the bridge last, which is the claim. Wires by themselves: a space lives on while a process of
 * another fabric was started beside it.
 */
function remove(bridge: string): void {
  const spaces = readdirSync('/run/netns').filter((name) => name.startsWith(`${bridge}-`));
  const wires = readdirSync('/sys/class/net').filter((name) => name.startsWith(`${bridge}.`));
  const all = [...spaces.map((name) => ['netns', name]), ...[...wires, bridge].map((name) => ['link', name])];
  for (const [kind, name] of all) {
    try {
      ip(kind!, 'del', name!);
    } catch {
      // Gone already.
    }
  }
}

function loopback(): Fabric {
  const network = `127.${randomInt(64, 128)}.${randomInt(256)}`;
  let made = 0;
  return {
    host: '127.0.0.1',
    prefix: '127.0.0.0/8',
    cuts: false,
    place: () => ({ address: `${network}.${++made}`, command: [] }),
    close: () => undefined,
  };
}
