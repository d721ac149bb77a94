import { expect, it } from 'vitest';
import { presentedName } from './operator-service.ts';

it.each([
  ['WWW.Example.ORG.', 'www.example.org'],
  ['*.Example.org', '*.example.org'],
  ['*.bücher.example', '*.xn--bcher-kva.example'],
  ['BÜCHER.example.', 'xn--bcher-kva.example'],
  ['xn--bcher-kva.example', 'xn--bcher-kva.example'],
  ['правда.рф', 'xn--80aafi6cg.xn--p1ai'],
  // IDNA takes none of these; they may stand in a certificate all the same.
  ['a B', 'a b'],
  ['', ''],
  ['*', '*'],
])('%s is looked for as %s', (text, name) => expect(presentedName(text)).toBe(name));
