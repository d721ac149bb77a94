import fc from 'fast-check';
import { expect, test } from 'vitest';
import { asGraph, formatAsRel, parseAsRel, positionOf } from './as-graph.ts';
import { PlacementError } from './error.ts';
import { syntheticInternet } from './synthetic.ts';

test('serial-1 and serial-2, comments, and both line ends', () => {
  const graph = parseAsRel('# inferred\n1|2|-1\r\n2|3|0|bgp\n3|4|-1|mlp\n\n');
  expect([...graph.asns]).toEqual([1, 2, 3, 4]);
  const at = (asn: number) => positionOf(graph, asn);
  const row = ({ offsets, list }: typeof graph.peers, asn: number) =>
    [...list.subarray(offsets[at(asn)], offsets[at(asn) + 1])].map((i) => graph.asns[i]);
  expect(row(graph.customers, 1)).toEqual([2]);
  expect(row(graph.providers, 2)).toEqual([1]);
  expect(row(graph.peers, 2)).toEqual([3]);
  expect(row(graph.peers, 3)).toEqual([2]);
  expect(row(graph.providers, 4)).toEqual([3]);
});

test.each([
  ['1|2|1', 'a kind that is none'],
  ['1|2', 'no kind'],
  ['1|1|0', 'a link to itself'],
  ['1|4294967296|0', 'a number above 32 bits'],
  ['x|2|0', 'no number'],
  ['1|2|-1|two words', 'a source that is none'],
])('%s: %s', (line) => {
  expect(() => parseAsRel(`1|2|0\n${line}\n`)).toThrow(/line 2/);
});

test('a file without links', () => {
  expect(() => parseAsRel('# nothing\n')).toThrow(PlacementError);
});

test('what is written is read as the same graph', () => {
  const links = syntheticInternet(300, 9);
  expect(parseAsRel(formatAsRel(links))).toEqual(asGraph(links));
});

test('any text is a graph or a PlacementError', () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.stringMatching(/^(\d{1,11}\|\d{1,11}\|(-1|0)\n){0,5}$/)), (text) => {
      try {
        parseAsRel(text);
      } catch (error) {
        expect(error).toBeInstanceOf(PlacementError);
      }
    }),
  );
});

test('an AS that is not there', () => {
  const graph = parseAsRel('1|3|0\n');
  for (const asn of [0, 2, 4]) expect(() => positionOf(graph, asn)).toThrow(`AS${asn} is not in the graph`);
});
