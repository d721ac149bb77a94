/** DER as a tree that tests can change and write again, and every change of one kind to one node. */
import { der, DerReader } from '@mecai/pki';

export interface DerNode {
  readonly tag: number;
  /** Of a constructed value. */
  readonly children?: readonly DerNode[];
  /** Content octets of a primitive value. */
  readonly content?: Uint8Array;
}

export function readTree(bytes: Uint8Array): DerNode {
  const reader = new DerReader(bytes);
  const node = readNode(reader);
  reader.end();
  return node;
}

function readNode(reader: DerReader): DerNode {
  const tag = reader.peek()!;
  if ((tag & 0x20) === 0) return { tag, content: reader.content(tag) };
  const inner = reader.enter(tag);
  const children: DerNode[] = [];
  while (!inner.atEnd) children.push(readNode(inner));
  return { tag, children };
}

export const writeTree = (node: DerNode): Uint8Array =>
  node.children ? der.tlv(node.tag, ...node.children.map(writeTree)) : der.tlv(node.tag, node.content!);

export const primitive = (tag: number, ...content: readonly number[]): DerNode => ({
  tag,
  content: Uint8Array.from(content),
});

/** The node at a path of child positions, changed; undefined leaves it out, two put a second beside it. */
export function changed(
  node: DerNode,
  path: readonly number[],
  change: (node: DerNode) => readonly DerNode[],
): DerNode {
  const [first, ...rest] = path;
  if (first === undefined) return change(node)[0]!;
  const children = node.children!.flatMap((child, i) => {
    if (i !== first) return [child];
    return rest.length === 0 ? change(child) : [changed(child, rest, change)];
  });
  return { tag: node.tag, children };
}

/** Paths of all nodes below the root. */
export function pathsOf(node: DerNode, prefix: readonly number[] = []): (readonly number[])[] {
  return (node.children ?? []).flatMap((child, i) => {
    const path = [...prefix, i];
    return [path, ...pathsOf(child, path)];
  });
}

/** One change each, to one node each: what a careless encoder or an attacker would write. */
export function* mutations(bytes: Uint8Array): Generator<{ what: string; bytes: Uint8Array }> {
  const root = readTree(bytes);
  const edits: readonly [string, (node: DerNode) => readonly DerNode[]][] = [
    ['left out', () => []],
    ['twice', (node) => [node, node]],
    ['followed by NULL', (node) => [node, primitive(0x05)]],
    ['with the next tag', (node) => [{ ...node, tag: node.tag + 1 }]],
    ['primitive or constructed the other way round', (node) => [{ ...node, tag: node.tag ^ 0x20 }]],
    ['empty', ({ tag, children }) => [children ? { tag, children: [] } : primitive(tag)]],
    [
      'with a zero octet in front',
      (node) => [
        node.content ? { tag: node.tag, content: Uint8Array.of(0, ...node.content) } : wrapped(node),
      ],
    ],
    [
      'children reversed',
      (node) => [node.children ? { ...node, children: node.children.toReversed() } : node],
    ],
  ];
  for (const path of pathsOf(root)) {
    for (const [what, edit] of edits) {
      const after = writeTree(changed(root, path, edit));
      if (Buffer.compare(after, bytes) !== 0) yield { what: `[${path.join('.')}] ${what}`, bytes: after };
    }
  }
}

const wrapped = (node: DerNode): DerNode => ({ tag: 0x30, children: [node] });
