import { expect, it } from 'vitest';
import { Outages } from './outages.ts';
import { rules } from './rules.ts';

const almaty = { agent: 'almaty', country: 'KZ', rir: 'ripencc', asn: 64500 };
const astana = { agent: 'astana', country: 'KZ', rir: 'ripencc', asn: 64501 };

it('an agent that moved to another country and network is counted there', () => {
  const outages = new Outages();
  let at = 0;
  const look = (place: typeof almaty, times: number, failed: boolean) => {
    for (let i = 0; i < times; i++) outages.add({ ...place, at: (at += 100) }, failed, rules);
  };
  look({ ...almaty, country: 'DE', asn: 64510 }, 500, false);
  look(astana, 500, false);
  look(almaty, 500, false);
  expect(outages.evaluate(at, rules)).toEqual({ outages: [], failing: [] });
  look(almaty, 60, true);
  look(astana, 60, true);
  expect(outages.evaluate(at, rules)).toMatchObject({
    outages: [{ country: 'KZ', places: [almaty, astana], whole: true }],
    failing: [],
  });
});
