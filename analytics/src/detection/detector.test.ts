import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, it } from 'vitest';
import { Detector } from './detector.ts';
import type { Incident } from './incident.ts';
import { rules } from './rules.ts';
import type { Place, Sighting } from './sighting.ts';

const start = Date.UTC(2026, 0, 1);
const agents: readonly Place[] = [
  { agent: 'berlin', country: 'DE', rir: 'ripencc', asn: 1 },
  { agent: 'oslo', country: 'NO', rir: 'ripencc', asn: 2 },
  { agent: 'ashburn', country: 'US', rir: 'arin', asn: 3 },
  { agent: 'lima', country: 'PE', rir: 'lacnic', asn: 4 },
  { agent: 'almaty', country: 'KZ', rir: 'ripencc', asn: 5 },
  { agent: 'astana', country: 'KZ', rir: 'ripencc', asn: 6 },
];
let serial = 0;
const seen = (place: Place, at: number, changes: Partial<Sighting> = {}): Sighting => ({
  id: `o${serial++}`,
  at,
  observedAt: at,
  ...place,
  address: '192.0.2.1',
  targetAsn: 0,
  port: 443,
  serverName: 'www.example',
  startTls: '',
  keyType: 'ecdsa',
  proven: true,
  error: '',
  leaf: 'genuine',
  spki: 'genuine',
  issuer: 'CN=Good',
  subject: 'CN=www.example',
  dnsNames: ['www.example'],
  ...changes,
});
const forged = { leaf: 'forged', spki: 'forged', issuer: 'CN=Forger' };

/** Everyone looks once a minute, at what `shown` says; the incidents at the end, by id. */
function watch(minutes: number, shown: (place: Place, minute: number) => Partial<Sighting>): Incident[] {
  const detector = new Detector({ rules });
  const incidents = new Map<string, Incident>();
  for (let minute = 0; minute < minutes; minute++) {
    for (const [i, place] of agents.entries()) {
      detector.add(seen(place, start + minute * 60_000 + i * 100, shown(place, minute)));
    }
    for (let second = 5; second < 60; second += 5) {
      const { changed } = detector.evaluate(start + minute * 60_000 + second * 1000);
      for (const incident of changed) incidents.set(incident.id, incident);
    }
  }
  return [...incidents.values()];
}

const inKazakhstan = ({ country }: Place) => country === 'KZ';

describe('different certificates', () => {
  it('in one country only, by nobody known, are an interception that opens, grows and closes', () => {
    const [incident, ...others] = watch(40, (place, minute) =>
      inKazakhstan(place) && minute >= 5 && minute < 10 ? forged : {},
    );
    expect(others).toEqual([]);
    expect(incident).toMatchObject({
      kind: 'regional-interception',
      state: 'closed',
      rulesVersion: rules.version,
      since: start + 5 * 60_000 + 400,
      observations: 10,
    });
    expect([...incident!.places.keys()]).toEqual(['almaty', 'astana']);
    expect([...incident!.genuine]).toEqual(['genuine']);
    expect(incident!.openedAt - incident!.since).toBeLessThan(60_000);
    expect(incident!.confidence).toBeGreaterThan(0.9);
    expect(incident!.summary).toContain('In KZ (AS5, AS6), www.example shows a certificate by CN=Forger');
  });

  it.each<[string, (place: Place, minute: number) => Partial<Sighting>]>([
    ['after a renewal with the same key', (_, minute) => (minute < 5 ? {} : { leaf: 'renewed' })],
    ['after a rotation that everyone sees', (_, minute) => (minute < 5 ? {} : { ...forged })],
    [
      'by the same issuer: a network of servers with a certificate for one region',
      (place) => (inKazakhstan(place) ? { ...forged, issuer: 'CN=Good' } : {}),
    ],
    [
      'in several regions',
      (place, minute) => (minute >= 5 && ['KZ', 'US'].includes(place.country) ? forged : {}),
    ],
    ['by kind of key', (place) => (inKazakhstan(place) ? { ...forged, keyType: 'rsa' } : {})],
    ['at another address', (place) => (inKazakhstan(place) ? { ...forged, address: '192.0.2.2' } : {})],
    ['from an attacker beside the server, whom everyone sees', (_, minute) => (minute < 5 ? {} : forged)],
  ])('%s are no incident', (_, shown) => {
    expect(watch(20, shown)).toEqual([]);
  });

  it('are a mismatch to every country that sees them, from when on an incident is open', () => {
    const detector = new Detector({ rules });
    const [berlin, oslo, , , almaty, astana] = agents as readonly [Place, Place, Place, Place, Place, Place];
    for (const place of agents) detector.add(seen(place, start));
    const first = [almaty, astana, oslo].map((place, i) =>
      detector.add(seen(place, start + 1000 + i, forged)),
    );
    expect(first).toEqual(['mismatch', 'mismatch', 'match']);
    for (const [i, place] of agents.slice(0, 4).entries()) {
      if (place !== oslo) detector.add(seen(place, start + 2000 + i));
    }
    detector.evaluate(start + 3000);
    expect([...detector.incidents]).toMatchObject([{ kind: 'regional-interception' }]);
    const later = [oslo, almaty].map((place, i) => detector.add(seen(place, start + 4000 + i, forged)));
    expect(later).toEqual(['mismatch', 'mismatch']);
    expect(detector.add(seen(berlin, start + 5000))).toBe('match');
  });

  it('only where a name is asked for are surer, and what was seen without it is evidence', () => {
    const detector = new Detector({ rules });
    const roles = new Set<string>();
    for (let minute = 0; minute < 10; minute++) {
      for (const [i, place] of agents.entries()) {
        const at = start + minute * 60_000 + i * 100;
        detector.add(seen(place, at, inKazakhstan(place) && minute >= 5 ? forged : {}));
        const bare = { serverName: '', leaf: 'default', spki: 'default', issuer: 'CN=Host', dnsNames: [] };
        detector.add(seen(place, at + 50, bare));
      }
      const { evidence } = detector.evaluate(start + minute * 60_000 + 5000);
      for (const { role } of evidence) roles.add(role);
    }
    const [incident] = detector.incidents;
    expect(incident!.reasons).toContain('sni-triggered');
    expect(roles).toEqual(new Set(['differs', 'agrees', 'control']));
  });

  it('that everybody sees soon after are withdrawn; not while others see what was there, wherever it spreads', () => {
    const later = (widely: (place: Place) => boolean) =>
      watch(12, (place, minute) =>
        (inKazakhstan(place) && minute >= 3) || (widely(place) && minute >= 5) ? forged : {},
      ).map(({ kind, state }) => `${kind} ${state}`);
    expect(later(() => true)).toEqual(['regional-interception withdrawn']);
    expect(later(({ rir }) => rir !== 'ripencc')).toEqual(['regional-interception open']);
  });

  it('that one agent sees alone at three endpoints make it faulty, not a region attacked', () => {
    const incidents = watch(20, (place, minute) => ({
      serverName: `${minute % 4}.example`,
      dnsNames: [`${minute % 4}.example`],
      ...(place.agent === 'lima' && minute >= 8 && { ...forged, spki: `forged ${minute % 4}` }),
    }));
    expect(incidents).toMatchObject([{ kind: 'faulty-agent', reasons: ['sees-alone'] }]);
    expect([...incidents[0]!.places.keys()]).toEqual(['lima']);
  });

  it('that an agent makes up anew each time make it faulty, though each key is young', () => {
    const detector = new Detector({ rules });
    const kinds = new Set<string>();
    for (let minute = 0; minute < 20; minute++) {
      // One agent after another, each at all names, as a campaign has it.
      for (const [i, place] of agents.entries()) {
        const at = start + minute * 60_000 + i * 10_000;
        for (let n = 0; n < 4; n++) {
          const name = { serverName: `${n}.example`, dnsNames: [`${n}.example`] };
          const lie = { ...forged, spki: `lie ${minute} ${n}`, issuer: `CN=${minute} ${n}` };
          const lies = place.agent === 'lima' && minute >= 5;
          detector.add(seen(place, at + n, { ...name, ...(lies && lie) }));
        }
        for (const { kind, reasons } of detector.evaluate(at + 5000).changed)
          kinds.add(`${kind} ${reasons[0]}`);
      }
    }
    expect(kinds).toEqual(new Set(['faulty-agent sees-alone']));
  });

  it('ask for another look, with SNI and without, until it is clear', () => {
    const detector = new Detector({ rules });
    for (const place of agents) detector.add(seen(place, start));
    detector.add(seen(agents[4]!, start + 1000, forged));
    const { followUps } = detector.evaluate(start + 2000);
    expect(followUps).toMatchObject([
      { countries: ['KZ'], endpoint: { serverName: 'www.example' }, control: { serverName: '' } },
    ]);
    expect(detector.evaluate(start + 3000).followUps).toEqual([]);
  });
});

describe('failures', () => {
  const fails = { proven: false, error: 'timeout', leaf: '', spki: '' };
  it('of all agents of a country where others get an answer are an outage there', () => {
    const incidents = watch(40, (place, minute) =>
      inKazakhstan(place) && minute >= 5 && minute < 20 ? fails : {},
    );
    expect(incidents).toMatchObject([{ kind: 'local-outage', state: 'closed' }]);
  });

  it('of everyone are the server’s, and no incident', () => {
    expect(watch(30, (_, minute) => (minute >= 5 ? fails : {}))).toEqual([]);
  });
});

describe('a campaign', () => {
  /** So many endpoints, which all agents have seen shortly before; then only a few look again, one after another. */
  const lookAgain = (
    shown: (place: Place, n: number) => Partial<Sighting>,
    perspectives: number,
  ): Incident[] => {
    const detector = new Detector({ rules });
    const incidents = new Map<string, Incident>();
    let at = start;
    const note = () => {
      for (const incident of detector.evaluate(at).changed) incidents.set(incident.id, incident);
    };
    const endpoint = (n: number) => ({
      serverName: `${n}.example`,
      dnsNames: [`${n}.example`],
      leaf: `${n}`,
      spki: `${n}`,
    });
    for (let n = 0; n < 300; n++) {
      for (const place of agents) detector.add(seen(place, (at += 20), endpoint(n)));
    }
    note();
    for (let round = 0; round < 3; round++) {
      for (let n = 0; n < 300; n++) {
        for (let i = 0; i < perspectives; i++) {
          const place = agents[(n + i) % agents.length]!;
          detector.add(seen(place, (at += 100), { ...endpoint(n), ...shown(place, n) }));
        }
        if (n % 20 === 0) note();
      }
    }
    return [...incidents.values()];
  };
  const gone = { proven: false, error: 'connect-timeout', leaf: '', spki: '' };

  it.each([1, 2, 6])('that finds most endpoints gone is no outage of %i who looked', (perspectives) => {
    expect(lookAgain((_, n) => (n % 10 > 0 ? gone : {}), perspectives)).toEqual([]);
  });

  it('that finds certificates replaced everywhere is no interception', () => {
    expect(lookAgain((_, n) => ({ leaf: `new ${n}`, spki: `new ${n}`, issuer: 'CN=Another' }), 2)).toEqual(
      [],
    );
  });

  it('without SNI that finds other certificates is no incident', () => {
    const control = { serverName: '', leaf: 'default', spki: 'default', issuer: 'CN=Default' };
    expect(lookAgain(() => control, 3)).toEqual([]);
  });

  it('that floods the rules with what all see hides no interception and no outage', () => {
    const flood = (there: Partial<Sighting>) =>
      lookAgain((place, n) => (inKazakhstan(place) && n % 3 === 0 ? there : {}), 6);
    expect(flood({ ...forged }).map(({ kind }) => kind)).toEqual(['regional-interception']);
    const dead = lookAgain((place) => (inKazakhstan(place) ? gone : {}), 6);
    expect(dead.map(({ kind }) => kind)).toEqual(['local-outage']);
  });
});

it('a clock that is off makes an agent faulty, and nothing else', () => {
  const incidents = watch(30, ({ agent }, minute) =>
    agent === 'oslo' ? { observedAt: start + minute * 60_000 + 3_600_000 } : {},
  );
  expect(incidents).toMatchObject([{ kind: 'faulty-agent', reasons: ['clock'] }]);
});

it('keys and endpoints without end take no more memory than some', { timeout: 120_000 }, () => {
  const detector = new Detector({ rules, maxEndpoints: 2000 });
  setFlagsFromString('--expose-gc');
  const collectGarbage = runInNewContext('gc') as () => void;
  const used = () => {
    collectGarbage();
    return process.memoryUsage().heapUsed / 2 ** 20;
  };
  const before = used();
  for (let i = 0; i < 300_000; i++) {
    const changes = { leaf: `l${i}`, spki: `l${i}`, issuer: `CN=${i}` };
    const name = i % 2 === 0 ? {} : { serverName: `${i}.example` };
    detector.add(seen(agents[i % agents.length]!, start + i * 3, { ...changes, ...name }));
    if (i % 20_000 === 0) detector.evaluate(start + i * 3);
  }
  expect(detector.endpoints).toBeLessThanOrEqual(2000);
  const megabytes = used() - before;
  console.log(`300,000 observations of as many keys: ${megabytes.toFixed(1)} MB`);
  expect(megabytes).toBeLessThan(20);
});
