import { parseAddress } from '@mecai/addresses';
import { KeyType, type Task } from '@mecai/proto';
import type { Order, OrderTarget, Orders } from './orders.ts';

export interface RunnerParts {
  readonly name: string;
  readonly orders: Orders;
  readonly send: (agent: string, task: Task) => void;
  /** Agents heard of lately, in an order in which neighbours are far apart. */
  readonly alive: () => readonly string[];
  readonly maxPerMinute: number;
  readonly timeoutMs: number;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  readonly randomBytes: (octets: number) => Uint8Array;
}

interface Running {
  order: Order;
  round: number;
  next: number;
  /** Probes that may be sent now. */
  credit: number;
  targets: readonly OrderTarget[];
  /** Progress that analytics does not know yet. */
  dirty: boolean;
}

const keyTypes: Readonly<Record<string, KeyType>> = {
  rsa: KeyType.KEY_TYPE_RSA,
  ecdsa: KeyType.KEY_TYPE_ECDSA,
};

/** Milliseconds' worth of probes that may be sent at once after a pause. */
const burstMs = 1000;

const grown = (credit: number, elapsedMs: number, perMinute: number): number =>
  Math.min(credit + (elapsedMs * perMinute) / 60_000, Math.max(1, (burstMs * perMinute) / 60_000));

/**
 * Sends the probes of campaigns to agents, at the rate each was ordered with and all together at the rate that is
 * configured. How far it is stands in analytics: after a crash a few probes are sent again, none is left out.
 */
export class CampaignRunner {
  readonly #parts: RunnerParts;
  readonly #running = new Map<string, Running>();
  #credit = 0;
  #at: number;

  constructor(parts: RunnerParts) {
    this.#parts = parts;
    this.#at = parts.now();
  }

  get running(): number {
    return this.#running.size;
  }

  /** Tells analytics how far it is, and hears what is to be done. */
  async refresh(): Promise<void> {
    const { orders } = this.#parts;
    for (const [id, one] of this.#running) {
      if (!one.dirty) continue;
      await orders.advance(id, { round: one.round, next: one.next });
      one.dirty = false;
    }
    const found = await orders.running();
    const ids = new Set(found.map(({ id }) => id));
    for (const id of this.#running.keys()) if (!ids.has(id)) this.#running.delete(id);
    for (const order of found) {
      const known = this.#running.get(order.id);
      if (known) known.order = order;
      else {
        const { round, next } = order;
        this.#running.set(order.id, { order, round, next, credit: 0, targets: [], dirty: false });
      }
    }
  }

  /** Sends what is due. */
  async tick(): Promise<void> {
    const { now, maxPerMinute } = this.#parts;
    const at = now();
    const elapsed = Math.min(burstMs, Math.max(0, at - this.#at));
    this.#at = at;
    this.#credit = grown(this.#credit, elapsed, maxPerMinute);
    for (const one of this.#running.values()) {
      one.credit = grown(one.credit, elapsed, one.order.per_minute);
      while (one.credit >= 1 && this.#credit >= 1 && this.#due(one, at)) {
        const sent = await this.#probe(one);
        if (sent === 0) break;
        // A debt, when several perspectives look at once, is paid by waiting.
        one.credit -= sent;
        this.#credit -= sent;
      }
    }
  }

  #due({ order, round }: Running, at: number): boolean {
    return round < order.rounds && at >= order.created_at + round * order.every_seconds * 1000;
  }

  /** @returns probes sent */
  async #probe(one: Running): Promise<number> {
    const { orders, alive } = this.#parts;
    const { order } = one;
    const agents = alive();
    if (agents.length === 0) return 0;
    let target = one.targets.find(({ number }) => number === one.next);
    if (!target) {
      one.targets = await orders.targets(order.id, one.next);
      target = one.targets.find(({ number }) => number === one.next);
    }
    const wanted = target ? Math.min(order.perspectives, agents.length) : 0;
    for (let i = 0; i < wanted; i++) {
      // Everybody has a turn, and in the next round somebody else begins.
      const agent = agents[(one.next * wanted + i + one.round) % agents.length]!;
      this.#parts.send(agent, this.#task(order, target!));
    }
    one.next++;
    if (one.next >= order.endpoints) {
      one.next = 0;
      one.round++;
    }
    one.dirty = true;
    return Math.max(1, wanted);
  }

  /** The first half of the nonce is the campaign's id; no signer has drawn it, so it counts for no voucher. */
  #task({ id }: Order, target: OrderTarget): Task {
    const { name, timeoutMs, randomBytes } = this.#parts;
    return {
      nonce: Buffer.concat([Buffer.from(id, 'hex'), randomBytes(16)]),
      targets: [
        {
          address: parseAddress(target.address),
          port: target.port,
          serverName: target.server_name,
          startTls: target.start_tls,
          keyType: keyTypes[target.key_type] ?? KeyType.KEY_TYPE_UNSPECIFIED,
        },
      ],
      timeoutMs,
      coordinator: name,
    };
  }
}
