import fc from 'fast-check';
import { expect, it } from 'vitest';
import { linesOf } from './json-lines.ts';

it('says where each member and element stands', () => {
  const text = '{\n "a": 1,\n "b": {\n  "c": [\n   true,\n   {"d":\n null}], "e": "x,\\n{\\"" },\n "f": []}';
  expect(Object.fromEntries(linesOf(text))).toEqual({
    '': 1,
    a: 2,
    b: 3,
    'b.c': 4,
    'b.c.0': 5,
    'b.c.1': 6,
    'b.c.1.d': 6,
    'b.e': 7,
    f: 8,
  });
});

/** All dotted names in a value. */
const namesIn = (value: unknown, name = ''): string[] => [
  name,
  ...(typeof value === 'object' && value !== null
    ? Object.entries(value).flatMap(([key, member]) => namesIn(member, name === '' ? key : `${name}.${key}`))
    : []),
];

it('finds every member of any JSON, however it is written', () => {
  const key = fc.stringMatching(/^[a-z]{1,3}$/);
  const { tree } = fc.letrec((tie) => ({
    tree: fc.oneof(
      { depthSize: 'small' },
      fc.jsonValue({ maxDepth: 0 }),
      fc.array(tie('tree'), { maxLength: 3 }),
      fc.dictionary(key, tie('tree'), { maxKeys: 3 }),
    ),
  }));
  fc.assert(
    fc.property(tree, fc.constantFrom(0, 1, '\t'), (value, indent) => {
      const lines = linesOf(JSON.stringify(value, undefined, indent));
      expect(new Set(lines.keys())).toEqual(new Set(namesIn(value)));
    }),
  );
});
