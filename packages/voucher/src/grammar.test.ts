import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { mecaiArc } from './oids.ts';

const read = (...path: readonly string[]) => readFileSync(join(import.meta.dirname, ...path), 'utf8');
const module = read('..', '..', '..', 'proto', 'asn1', 'mecai.asn1');

/** Without comments, and with one space where there is any. */
const compact = (text: string): string => text.replace(/--.*$/gm, '').replace(/\s+/g, ' ').trim();

/** Name to definition, up to the next assignment. */
function definitions(text: string): Map<string, string> {
  const assignments = [
    ...compact(text).matchAll(/([A-Z][A-Za-z0-9]*) ::= (.*?)(?= [A-Z][A-Za-z0-9]* ::=| END$|$)/g),
  ];
  return new Map(assignments.map(([, name = '', definition = '']) => [name, definition.trim()]));
}

const spaced = (definition: string) =>
  definition
    .replace(/([{}(),])/g, ' $1 ')
    .replace(/\s+/g, ' ')
    .trim();

const published = definitions(module.slice(module.indexOf('-- Common')));

describe('the grammar quoted above the codecs is the published one', () => {
  const files = ['voucher-encoder.ts', 'voucher-decoder.ts', 'vrp-encoder.ts', 'vrp-decoder.ts'];

  test.each(files)('%s', (file) => {
    const blocks = [...read(file).matchAll(/\/\*\*(.*?)\*\//gs)].map(
      ([, body = '']) =>
        // The grammar ends at an empty line; what follows is prose.
        body.replace(/^ *\* ?/gm, '').split(/\n\s*\n/)[0]!,
    );
    const quoted = blocks.flatMap((block) => [...definitions(block)]);
    expect(quoted.length).toBeGreaterThan(4);
    for (const [name, definition] of quoted) {
      expect(spaced(definition), name).toBe(spaced(published.get(name) ?? 'nothing'));
    }
  });
});

test('the module is that of the object identifiers in use', () => {
  expect(module).toContain(`{ joint-iso-itu-t uuid(25) ${mecaiArc.slice('2.25.'.length)} }`);
});
