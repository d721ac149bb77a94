/**
 * A MaxMind DB file (format 2.0) with one IPv4 network: a binary search tree of 32-bit records, 16 zero octets, the
 * data, and the metadata behind their marker.
 */
type Value = string | number | { readonly [name: string]: Value };

const types = { text: 2, double: 3, uint32: 6, map: 7 } as const;

function encode(value: Value): Buffer {
  if (typeof value === 'string') {
    const bytes = Buffer.from(value);
    return Buffer.concat([control(types.text, bytes.length), bytes]);
  }
  if (typeof value === 'number') {
    if (Number.isInteger(value) && value >= 0) {
      const bytes = Buffer.alloc(4);
      bytes.writeUInt32BE(value);
      return Buffer.concat([control(types.uint32, 4), bytes]);
    }
    const bytes = Buffer.alloc(8);
    bytes.writeDoubleBE(value);
    return Buffer.concat([control(types.double, 8), bytes]);
  }
  const members = Object.entries(value);
  return Buffer.concat([
    control(types.map, members.length),
    ...members.flatMap(([name, member]) => [encode(name), encode(member)]),
  ]);
}

/** Type in the upper three bits, size in the lower five; 29 means that one octet more follows. */
const control = (type: number, size: number): Buffer =>
  size < 29 ? Buffer.of((type << 5) | size) : Buffer.of((type << 5) | 29, size - 29);

export function mmdb(databaseType: string, network: string, data: Value): Buffer {
  const [address = '', length = '32'] = network.split('/');
  const bits = address
    .split('.')
    .flatMap((octet) => [7, 6, 5, 4, 3, 2, 1, 0].map((bit) => (Number(octet) >> bit) & 1))
    .slice(0, Number(length));
  const nodes = bits.length;
  const tree = Buffer.alloc(nodes * 8);
  bits.forEach((bit, node) => {
    const last = node === nodes - 1;
    tree.writeUInt32BE(last ? nodes + 16 : node + 1, node * 8 + bit * 4);
    // The node count itself: nothing is known.
    tree.writeUInt32BE(nodes, node * 8 + (1 - bit) * 4);
  });
  return Buffer.concat([
    tree,
    Buffer.alloc(16),
    encode(data),
    Buffer.from('abcdef4d61784d696e642e636f6d', 'hex'),
    encode({
      binary_format_major_version: 2,
      binary_format_minor_version: 0,
      build_epoch: 1_700_000_000,
      database_type: databaseType,
      description: { en: 'test' },
      ip_version: 4,
      node_count: nodes,
      record_size: 32,
    }),
  ]);
}
