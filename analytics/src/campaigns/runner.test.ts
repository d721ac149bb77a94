import { Task } from '@mecai/proto';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Order, Orders } from './orders.ts';
import { CampaignRunner, type RunnerParts } from './runner.ts';

const start = 1_700_000_000_000;
const order = (changes: Partial<Order> = {}): Order => ({
  id: 'ab'.repeat(16),
  created_at: start,
  endpoints: 10,
  per_minute: 60,
  perspectives: 1,
  rounds: 1,
  every_seconds: 3600,
  round: 0,
  next: 0,
  ...changes,
});

/** What analytics would keep, and the time. */
class World implements Orders {
  time = start;
  readonly sent: { agent: string; at: number; port: number; task: Task }[] = [];
  orders: Order[];
  agents = ['ashburn', 'lima', 'oslo'];

  constructor(...orders: Order[]) {
    this.orders = orders;
  }

  running = () => Promise.resolve(this.orders.filter(({ round, rounds }) => round < rounds));
  targets = (id: string, from: number) => {
    const { endpoints } = this.orders.find((one) => one.id === id)!;
    // In pieces, as the API does.
    const numbers = Array.from({ length: endpoints }, (_, number) => number).slice(from, from + 4);
    return Promise.resolve(
      numbers.map((number) => ({
        number,
        address: '192.0.2.1',
        port: 1 + number,
        server_name: 'a.example',
        start_tls: '',
        key_type: 'any',
      })),
    );
  };
  advance = (id: string, { round, next }: { round: number; next: number }) => {
    this.orders = this.orders.map((one) => (one.id === id ? { ...one, round, next } : one));
    return Promise.resolve();
  };

  runner(changes: Partial<RunnerParts> = {}): CampaignRunner {
    return new CampaignRunner({
      name: 'campaigns',
      orders: this,
      send: (agent, task) => this.sent.push({ agent, at: this.time, port: task.targets[0]!.port, task }),
      alive: () => this.agents,
      maxPerMinute: 100_000,
      timeoutMs: 10_000,
      now: () => this.time,
      randomBytes: (octets) => new Uint8Array(octets),
      ...changes,
    });
  }

  async pass(runner: CampaignRunner, seconds: number): Promise<void> {
    for (let i = 0; i < seconds * 10; i++) {
      this.time += 100;
      if (i % 20 === 0) await runner.refresh();
      await runner.tick();
    }
    await runner.refresh();
  }
}

describe('a campaign', () => {
  it('has each endpoint looked at once a round, by perspectives in turn, and then is done', async () => {
    const world = new World(order({ endpoints: 9, perspectives: 2, rounds: 2, every_seconds: 60 }));
    const runner = world.runner();
    await world.pass(runner, 55);
    expect(world.sent.map(({ port }) => port)).toEqual([
      1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9,
    ]);
    for (const agent of world.agents) expect(world.sent.filter((one) => one.agent === agent)).toHaveLength(6);
    await world.pass(runner, 60);
    expect(world.sent).toHaveLength(36);
    expect(world.sent[18]!.at).toBeGreaterThanOrEqual(start + 60_000);
    expect(runner.running).toBe(0);
  });

  it('has its id in every nonce, and no name but that of its process', async () => {
    const world = new World(order());
    await world.pass(world.runner(), 2);
    const { nonce, coordinator, timeoutMs } = world.sent[0]!.task;
    expect(Buffer.from(nonce).toString('hex')).toBe('ab'.repeat(16) + '00'.repeat(16));
    expect([coordinator, timeoutMs]).toEqual(['campaigns', 10_000]);
    expect(Task.decode(Task.encode(world.sent[0]!.task).finish()).nonce).toHaveLength(32);
  });

  it('goes on where it was after its process died', async () => {
    const world = new World(order({ endpoints: 40 }));
    await world.pass(world.runner(), 10);
    const before = world.sent.length;
    await world.pass(world.runner(), 60);
    const ports = world.sent.map(({ port }) => port);
    expect(new Set(ports).size).toBe(40);
    expect(before).toBeGreaterThan(5);
    // What had not been told yet is sent again.
    expect(ports.length).toBeLessThanOrEqual(43);
  });

  it('waits while no agent is heard of, and ends when it is stopped', async () => {
    const world = new World(order());
    world.agents = [];
    const runner = world.runner();
    await world.pass(runner, 10);
    expect(world.sent).toEqual([]);
    world.agents = ['lima'];
    await world.pass(runner, 3);
    const { length } = world.sent;
    expect(length).toBeGreaterThan(0);
    world.orders = [];
    await world.pass(runner, 10);
    expect(world.sent).toHaveLength(length);
  });
});

it('never exceeds the rate of a campaign, nor that of all', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(fc.integer({ min: 1, max: 600 }), fc.integer({ min: 1, max: 5 })), {
        minLength: 1,
        maxLength: 4,
      }),
      fc.integer({ min: 1, max: 1000 }),
      async (wanted, maxPerMinute) => {
        const orders = wanted.map(([perMinute, perspectives], i) =>
          order({
            id: i.toString(16).padStart(32, '0'),
            per_minute: perMinute,
            perspectives,
            endpoints: 100_000,
          }),
        );
        const world = new World(...orders);
        world.agents = ['a', 'b', 'c', 'd', 'e'];
        await world.pass(world.runner({ maxPerMinute }), 60);
        const of = (id: string) =>
          world.sent.filter(({ task }) => Buffer.from(task.nonce).toString('hex').startsWith(id));
        // A second's worth at the start, and what the perspectives of one endpoint are beyond it.
        const most = (perMinute: number, most: number) => perMinute + Math.max(1, perMinute / 60) + most;
        for (const { id, per_minute: rate, perspectives } of orders) {
          expect(of(id).length).toBeLessThanOrEqual(most(rate, perspectives));
        }
        expect(world.sent.length).toBeLessThanOrEqual(most(maxPerMinute, 5));
        if (maxPerMinute >= wanted.reduce((sum, [rate]) => sum + rate, 0)) {
          for (const { id, per_minute: rate } of orders)
            expect(of(id).length).toBeGreaterThanOrEqual(Math.floor(rate * 0.9) - 5);
        }
      },
    ),
    { numRuns: 10 },
  );
}, 60_000);
