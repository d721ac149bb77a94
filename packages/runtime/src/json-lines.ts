/** Where in a JSON text its members stand: for messages about a configuration. */

const token = /"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+/g;

/**
 * Lines of all members and elements, by dotted name (`a.b`, `list.0`), 1 for the first line.
 *
 * @param text valid JSON
 */
export function linesOf(text: string): ReadonlyMap<string, number> {
  const lines = new Map<string, number>();
  /** Of each object or list that is open: its name, and the member or index at hand. */
  const open: { name: string; at: string | number | undefined }[] = [];
  const nameAt = () => {
    const { name, at } = open.at(-1) ?? { name: '', at: undefined };
    return at === undefined ? name : name === '' ? String(at) : `${name}.${at}`;
  };
  let [line, counted] = [1, 0];
  for (const { 0: found, index } of text.matchAll(token)) {
    for (; counted < index; counted++) if (text[counted] === '\n') line++;
    const inside = open.at(-1);
    if (found === '}' || found === ']') open.pop();
    else if (found === ',' && inside) inside.at = typeof inside.at === 'number' ? inside.at + 1 : undefined;
    else if (found !== ',' && found !== ':') {
      if (inside && inside.at === undefined) inside.at = String(JSON.parse(found));
      if (!lines.has(nameAt())) lines.set(nameAt(), line);
      if (found === '{' || found === '[') open.push({ name: nameAt(), at: found === '[' ? 0 : undefined });
    }
  }
  return lines;
}
