import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Books, discrepancies, lostEvidence, readBooks } from './books.ts';
import { type Ending, Load } from './load.ts';
import { type Stage, eventually, setStage } from './stage.ts';

let stage: Stage;
let load: Load;
/** Every voucher handed out in this file. */
const vouchers: Uint8Array[] = [];

beforeAll(async () => {
  stage = await setStage();
});
afterAll(() => stage.close());

/** Runs a fault in the middle of a stream of requests, and waits until vouchers come again. */
async function during(fault: () => Promise<void>): Promise<Ending[]> {
  load = new Load(stage.network.vrpUrl, stage.request, stage.ca);
  try {
    await load.issued(10);
    const from = load.endings.length;
    await fault();
    await load.issued(10);
    return load.endings.slice(from).filter(({ status }) => status !== 'issued');
  } finally {
    await load.stop();
    vouchers.push(...load.vouchers);
  }
}

/** Every agent that is left has had everything confirmed. */
async function settled(): Promise<Books> {
  await eventually('all observations confirmed', async () => {
    const all = await Promise.all(
      [...stage.network.agents.values()].map(({ ready }) => stage.status(ready['admin']!)),
    );
    return all.every(({ unconfirmed, probesInFlight }) => unconfirmed === 0 && probesInFlight === 0);
  });
  await eventually('all records stored', async () => {
    const status = await stage.status(stage.network.coordinator.ready['admin']!);
    return status['recordsUnconfirmed'] === 0 && status['listening'] === 0;
  });
  return readBooks(stage.network);
}

const clear = (endings: readonly Ending[], ...words: RegExp[]) => {
  for (const { status, detail = '' } of endings) {
    expect(['inconclusive', 'no-answer']).toContain(status);
    // The text itself, so that a failure shows it.
    expect(words.some((word) => word.test(detail)) ? '' : detail).toBe('');
  }
};

describe('killed in the middle of requests', () => {
  it('NATS: requests end, and nothing that was stored is lost', async () => {
    const { nats } = stage.network;
    const before = await settled();
    const endings = await during(async () => {
      nats.kill();
      await load.others(load.endings.length, 4);
      await nats.restart();
    });
    clear(endings, /NATS is away/, /audit record could not be stored/, /no-answer/);
    const books = await settled();
    expect(discrepancies(books, vouchers)).toEqual([]);
    expect(lostEvidence(books)).toEqual([]);
    const now = new Set(books.observations.map(({ hash }) => hash));
    expect(before.observations.filter(({ hash }) => !now.has(hash))).toEqual([]);
  });

  it('the signer: requests end, open draws are drawn anew', async () => {
    const { signer } = stage.network;
    const endings = await during(async () => {
      await signer.signal('SIGKILL');
      await load.others(load.endings.length, 4);
      await signer.restart();
    });
    clear(endings, /signer cannot be reached/);
    const books = await settled();
    expect(discrepancies(books, vouchers)).toEqual([]);
    expect(lostEvidence(books)).toEqual([]);
  });

  it('the coordinator: whoever got a voucher finds it on record', async () => {
    const { coordinator } = stage.network;
    const endings = await during(async () => {
      await coordinator.signal('SIGKILL');
      await load.others(load.endings.length, 4);
      await coordinator.restart();
    });
    clear(
      endings,
      /ECONNREFUSED|ECONNRESET|EPIPE|socket hang up|disconnected before secure TLS|cannot be reached|not been reached|aborted/i,
    );
    const books = await settled();
    expect(discrepancies(books, vouchers)).toEqual([]);
    expect(lostEvidence(books)).toEqual([]);
  });

  it('an agent: hardly anyone notices', async () => {
    const agent = stage.network.agents.get('sydney')!;
    const endings = await during(async () => {
      await agent.signal('SIGKILL');
      await load.issued(20);
    });
    expect(endings).toEqual([]);
    await agent.restart();
    const books = await settled();
    expect(discrepancies(books, vouchers)).toEqual([]);
  });

  it('three agents: inconclusive, never a mismatch, until they are back', async () => {
    const three = ['sydney', 'ashburn', 'stockholm'].map((name) => stage.network.agents.get(name)!);
    const endings = await during(async () => {
      await Promise.all(three.map((agent) => agent.signal('SIGKILL')));
      await load.others(load.endings.length, 4);
      await Promise.all(three.map((agent) => agent.restart()));
    });
    expect(endings.length).toBeGreaterThan(0);
    // On a busy machine those that are left may be late, too.
    clear(endings, /[0-3] saw this chain, 0 another, [3-6] none/);
    const books = await settled();
    expect(discrepancies(books, vouchers)).toEqual([]);
    expect(books.mismatches).toEqual([]);
  });
});
