import { randomBytes } from 'node:crypto';
import { defaultQuorumPolicy, signObservation } from '@mecai/corroboration';
import { authority, makeOcspResponse, server } from '@mecai/pki/testing';
import { KeyType, type Observation, type Target } from '@mecai/proto';
import { describe, expect, it } from 'vitest';
import { Answers, absent } from './answers.ts';
import { type TestAgent, failed, names, observed, sixAgents, testRegistry } from './testing/agents.ts';

const chain = [randomBytes(50), randomBytes(60)];
const other = [randomBytes(50)];
const target = (address: Uint8Array): Target => ({
  address,
  port: 443,
  serverName: 'www.example.org',
  startTls: '',
  keyType: KeyType.KEY_TYPE_ECDSA,
});
const ipv4 = target(Uint8Array.of(192, 0, 2, 1));
const ipv6 = target(Buffer.from('20010db8000000000000000000000001', 'hex'));
const keyOf = (name: string) => sixAgents.find((agent) => agent.name === name)!.key.privateKey;

const [issuer, leaf] = [authority('CA'), server('www.example.org', authority('CA'))];
const stapled = (scts: Uint8Array) => makeOcspResponse(leaf, issuer, { scts });

function question({
  targets = [ipv4],
  registered = sixAgents,
}: {
  targets?: Target[];
  registered?: readonly TestAgent[];
} = {}) {
  const nonce = randomBytes(32);
  const answers = new Answers(
    { nonce, agents: [...names], expiresAt: 0, trustContexts: [], links: [], targets },
    chain,
    testRegistry(registered),
    defaultQuorumPolicy,
  );
  const say = (
    name: string,
    seen: readonly Uint8Array[],
    { at = targets[0]!, ...rest }: Partial<Observation> & { at?: Target } = {},
  ) => answers.add(name, signObservation(observed(nonce, at, name, seen, rest), keyOf(name)));
  return { answers, nonce, say };
}
const [oslo, rome, boston, denver, tokyo, perth] = names;

const two = () => question({ targets: [ipv4, ipv6] });

describe('answers', () => {
  it('are enough at the fourth match in two regions', () => {
    const { answers, say } = question();
    for (const name of [oslo, rome, boston]) say(name, chain);
    expect(answers.outcome()).toBe('pending');
    say(denver, chain);
    expect(answers.outcome()).toBe('corroborated');
    expect(answers.evidence).toHaveLength(4);
    expect(answers.complete).toBe(false);
  });

  it('have the SCTs of those who saw this chain, each once, from TLS and from stapled OCSP responses', () => {
    const { answers, say } = question();
    const [scts, strange, list] = [1, 2, 3].map((octet) => Uint8Array.of(octet)) as [
      Uint8Array,
      Uint8Array,
      Uint8Array,
    ];
    const response = stapled(list);
    say(oslo, chain, { sctLists: [scts], ocsp: [{ certificate: 0, response }] });
    say(rome, chain, { sctLists: [scts], ocsp: [{ certificate: 0, response }] });
    // Of an intermediate, of another chain, and what is no response.
    say(boston, chain, { ocsp: [{ certificate: 1, response: stapled(strange) }] });
    say(denver, other, { sctLists: [strange] });
    say(tokyo, chain, { ocsp: [{ certificate: 0, response: randomBytes(5) }] });
    expect(answers.scts()).toEqual({ tls: [scts], ocsp: [list] });
  });

  it('a mismatch with a bad signature is no mismatch', () => {
    const { answers, nonce } = question();
    for (const name of [oslo, rome, boston, denver, tokyo]) {
      answers.add(name, signObservation(observed(nonce, ipv4, name, other), keyOf(perth)));
    }
    expect(answers.judgement(oslo, 0)).toEqual({ verdict: 'inconclusive', code: 'bad-signature' });
    expect(answers.outcome()).toBe('inconclusive');
  });

  it('proven mismatches decide as soon as the rest cannot outvote them', () => {
    const { answers, say } = question();
    say(oslo, other);
    say(boston, other);
    expect(answers.outcome()).toBe('pending');
    say(tokyo, other);
    expect(answers.outcome()).toBe('mismatch');
  });

  it('the first answer of an agent counts', () => {
    const { answers, say } = question();
    expect(say(oslo, chain)?.judgement).toEqual({ verdict: 'match' });
    expect(say(oslo, other)).toBeUndefined();
    expect(answers.judgement(oslo, 0)).toEqual({ verdict: 'match' });
    expect(answers.evidence).toHaveLength(1);
  });

  it('another agent’s name, another nonce, another target and garbage are no answers', () => {
    const { answers, nonce } = question();
    const mine = observed(nonce, ipv4, oslo, chain);
    expect(answers.add(rome, signObservation(mine, keyOf(rome)))).toBeUndefined();
    for (const wrong of [
      { nonce: randomBytes(32) },
      { target: ipv6 },
      { target: { ...ipv4, port: 444 } },
      { target: { ...ipv4, serverName: 'example.org' } },
      { target: undefined },
      { agent: 'nobody' },
    ]) {
      expect(answers.add(oslo, signObservation({ ...mine, ...wrong }, keyOf(oslo)))).toBeUndefined();
    }
    const garbage = { observation: Uint8Array.of(0xff, 0xff), signature: new Uint8Array() };
    expect(answers.add(oslo, garbage)).toBeUndefined();
    expect(answers.judgement(oslo, 0)).toEqual({ verdict: 'pending' });
  });

  it.each([['bogus'], ['agent-absent'], ['\u{1f4a9}'], ['two words'], ['x'.repeat(1_000_000)]])(
    'a failure of a strange name does not get through',
    (name) => {
      const { answers, say } = question();
      say(oslo, [], failed(name));
      expect(answers.judgement(oslo, 0)).toEqual({ verdict: 'inconclusive', code: 'unknown-failure' });
    },
  );

  it('an absent agent that answers all the same is heard, one that was too late is not', () => {
    const { answers, say } = question();
    answers.giveUp(oslo, absent);
    say(oslo, chain);
    expect(answers.judgement(oslo, 0)).toEqual({ verdict: 'match' });
    answers.giveUpRest('no-answer');
    say(rome, chain);
    expect(answers.judgement(rome, 0)).toEqual({ verdict: 'inconclusive', code: 'no-answer' });
  });

  it('after the decision nothing changes, but stragglers are still judged', () => {
    const { answers, say } = question();
    answers.close();
    expect(say(oslo, other)?.judgement).toEqual({ verdict: 'mismatch' });
    expect(answers.judgement(oslo, 0)).toEqual({ verdict: 'pending' });
  });

  it('what the signer does not accept counts for nothing any more', () => {
    const { answers, say } = question();
    for (const name of [oslo, rome, boston, denver]) say(name, chain);
    answers.strike([
      { agent: denver, fault: 'clock' },
      { agent: boston, fault: '<script>' },
      { agent: '', fault: 'malformed' },
    ]);
    expect(answers.judgement(denver, 0)).toEqual({ verdict: 'inconclusive', code: 'clock' });
    expect(answers.judgement(boston, 0)).toEqual({ verdict: 'inconclusive', code: 'bad-evidence' });
    expect(answers.evidence).toHaveLength(2);
    expect(answers.outcome()).toBe('pending');
  });

  it('an agent missing in the registry costs one vote, not the voucher', () => {
    const { answers, say } = question({ registered: sixAgents.filter(({ name }) => name !== perth) });
    expect(answers.unregistered).toEqual([perth]);
    expect(answers.judgement(perth, 0)).toEqual({ verdict: 'inconclusive', code: 'not-in-registry' });
    expect(answers.outcome()).toBe('pending');
    for (const name of [oslo, rome, boston, tokyo]) say(name, chain);
    expect(answers.outcome()).toBe('corroborated');
    expect(answers.perspectives()).toHaveLength(5);
  });

  describe('about two addresses', () => {
    it('need both', () => {
      const { answers, say } = two();
      for (const name of names) say(name, chain);
      expect(answers.outcome()).toBe('pending');
      for (const name of names) say(name, chain, { at: ipv6 });
      expect(answers.outcome()).toBe('corroborated');
      expect(answers.complete).toBe(true);
      expect(answers.perspectives()[0]).toEqual({
        country: 'NO',
        rir: 'ripencc',
        asn: 64_496,
        ipv4: { verdict: 'match' },
        ipv6: { verdict: 'match' },
      });
    });

    it('need the same perspectives to match at both', () => {
      const { answers, say } = two();
      for (const name of names.slice(0, 4)) say(name, chain);
      for (const name of names.slice(2)) say(name, chain, { at: ipv6 });
      expect(answers.outcome()).toBe('pending');
      for (const name of names.slice(4)) say(name, [], failed('refused'));
      for (const name of names.slice(0, 2)) say(name, [], { at: ipv6, ...failed('refused') });
      expect(answers.outcome()).toBe('inconclusive');
    });

    it('a mismatch at one decides at once', () => {
      const { answers, say } = two();
      for (const name of names) say(name, other, { at: ipv6 });
      expect(answers.outcome()).toBe('mismatch');
    });

    it('one that is out of reach does not hide an attack at the other', () => {
      const { answers, say } = two();
      for (const name of names) say(name, [], { at: ipv4, ...failed('refused') });
      expect(answers.outcome()).toBe('pending');
      for (const name of names.slice(0, 3)) say(name, other, { at: ipv6 });
      expect(answers.outcome()).toBe('mismatch');
      expect(answers.words()).toBe(
        'IPv4: of 6 perspectives 0 saw this chain, 0 another, 6 none (refused); ' +
          'IPv6: of 6 perspectives 0 saw this chain, 3 another, 0 none, 3 had not answered yet',
      );
    });
  });

  it('are told in words', () => {
    const { answers, say } = question();
    say(oslo, chain);
    say(rome, other);
    say(boston, [], failed('timeout-connect'));
    expect(answers.words()).toBe(
      'of 6 perspectives 1 saw this chain, 1 another, 1 none (timeout-connect), 3 had not answered yet',
    );
  });
});
