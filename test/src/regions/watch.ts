/** What restarts a node of NATS that stays behind the others, as Terraform installs it on each. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Part } from './part.ts';

const script = join(import.meta.dirname, '../../../infra/terraform/modules/nats-config/nats-watch.sh');
const verdict = /^restart after /;

export interface Watch {
  /** Name of the node and what its health page said, for each restart. */
  readonly restarts: readonly string[];
  stop(): Promise<void>;
}

export function watchNodes(nodes: readonly Part[]): Watch {
  const restarts: string[] = [];
  // As Terraform has it: one after the other.
  const watches = nodes.map((node, i) =>
    watchNode(node, 12 + 4 * i, (why) => restarts.push(`${node.name}: ${why}`)),
  );
  const end = () => {
    for (const { child } of watches) child.kill('SIGKILL');
  };
  process.once('exit', end);
  return {
    restarts,
    stop: async () => {
      process.off('exit', end);
      end();
      await Promise.all(watches.map(({ ended }) => ended()));
    },
  };
}

function watchNode(node: Part, looks: number, restarted: (why: string) => void) {
  const { command, address } = node.place;
  const [program, ...words] = [...command, 'sh', script, `http://${address}:8222`, 'true'] as const;
  const child = spawn(program, words, {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, NATS_WATCH_LOOKS: String(looks) },
  });
  const gone = once(child, 'exit');
  const restart = async () => {
    await node.kill();
    await node.start();
  };
  let restarting = Promise.resolve();
  createInterface(child.stdout).on('line', (line) => {
    if (!verdict.test(line)) return;
    restarted(line);
    restarting = restart();
  });
  return {
    child,
    /** It, and a restart that it began. */
    ended: async () => {
      await gone;
      await restarting;
    },
  };
}
