/** Agents that are away, and tasks that are lost on the way. */
import { describe, expect, it } from 'vitest';
import { lima, sixAgents, testRegistry } from './testing/agents.ts';
import {
  act,
  agents,
  ask,
  chain,
  impatient,
  known,
  perspectives,
  probe,
  setStage,
  signer,
  signersOf,
  silent,
} from './testing/deciding.ts';

setStage();

const absentee = ['denver', 'tokyo', 'perth'];
const rushed = { ...probe, absentAfterMs: 10_000, graceMs: 50 };
/** @param away whether nothing was heard of this agent for a minute */
const hearing = (away: (name: string) => boolean) => ({
  ask: perspectives.ask.bind(perspectives),
  expectConnected: () => undefined,
  silentMs: (name: string) => (away(name) ? 60_000 : 0),
});
const asksOf = (name: string) =>
  agents.get(name)!.tasks.map(({ nonce }) => Buffer.from(nonce).toString('hex'));

describe('too many of those drawn are absent', () => {
  const among = (registry: ReturnType<typeof testRegistry>) => ({
    signers: signersOf(known(signer, 'spiffe://mecai.test/signer', registry)),
  });
  const seven = testRegistry([...sixAgents, lima]);

  it('others are drawn, and nobody of the first draw is asked', async () => {
    const before = asksOf('oslo').length;
    const recovering = hearing((name) => signer.draws.length === 1 && absentee.includes(name));
    const { result } = await ask({ perspectives: recovering, probe: rushed, ...among(seven) });
    expect(result.status).toBe('issued');
    expect(signer.draws).toHaveLength(2);
    const asked = asksOf('oslo').slice(before);
    expect(asked).toEqual([Buffer.from(signer.draws[1]!.drawn.nonce).toString('hex')]);
  });

  it('twice at most: the signer gives so many draws and no more', async () => {
    for (const name of absentee) act[name] = silent;
    const away = hearing((name) => absentee.includes(name));
    const { result } = await ask({ perspectives: away, probe: rushed, ...among(seven) });
    expect(result.status).toBe('inconclusive');
    expect(result.detail).toContain('agent-absent');
    expect(signer.draws).toHaveLength(3);
  });

  it('not where nobody else could be drawn', async () => {
    for (const name of absentee) act[name] = silent;
    const away = hearing((name) => absentee.includes(name));
    const { result } = await ask({ perspectives: away, probe: rushed, ...among(testRegistry()) });
    expect(result.status).toBe('inconclusive');
    expect(signer.draws).toHaveLength(1);
  });

  it('not while enough are there', async () => {
    for (const name of absentee.slice(1)) act[name] = silent;
    const away = hearing((name) => absentee.slice(1).includes(name));
    const { result } = await ask({ perspectives: away, probe: rushed, ...among(seven) });
    expect(result.status).toBe('issued');
    expect(signer.draws).toHaveLength(1);
  });
});

describe('a task is lost', () => {
  it('probe.askAgainMs: it is put again under the same nonce, to those who have not answered', async () => {
    const before = new Map(sixAgents.map(({ name }) => [name, asksOf(name).length]));
    const asksNow = (name: string) => asksOf(name).slice(before.get(name));
    // Without it the voucher would want a fourth match.
    act['perth'] = act['denver'] = silent;
    act['tokyo'] = (agent, task) => {
      if (asksNow('tokyo').length > 1) agent.answer(task, chain);
    };
    const { result } = await ask({
      probe: { ...impatient, timeoutMs: 20_000, graceMs: 50, askAgainMs: 100 },
    });
    expect(result.status).toBe('issued');
    expect(asksNow('tokyo').length).toBeGreaterThan(1);
    expect(asksNow('oslo')).toHaveLength(1);
    expect(new Set(asksNow('perth')).size).toBe(1);
  });

  it('and nobody is asked again once it is decided', async () => {
    act['perth'] = silent;
    const { result } = await ask({ probe: { ...probe, graceMs: 300, askAgainMs: 100 } });
    expect(result.status).toBe('issued');
    const asked = asksOf('perth').length;
    await perspectives.quiet(20_000);
    expect(asksOf('perth').length).toBe(asked);
  });
});
