/** Many rows in few statements: each text is prepared once, so there is one for 100 rows and one for a single one. */
import type { Row, Statements, Value } from '@mecai/database';

const most = 100;

/**
 * @param head such as `insert into t (a, b) values`
 * @param tail such as `on conflict do nothing`
 * @returns what `returning` in the tail gives
 */
export async function insertRows<R extends Row = Row>(
  statements: Statements,
  head: string,
  rows: readonly (readonly Value[])[],
  tail = '',
): Promise<R[]> {
  const returned: R[] = [];
  let at = 0;
  while (at < rows.length) {
    const count = rows.length - at >= most ? most : 1;
    const some = rows.slice(at, at + count);
    const width = some[0]!.length;
    const places = some.map((_, r) => `(${some[0]!.map((__, c) => `$${r * width + c + 1}`).join(', ')})`);
    returned.push(...(await statements.query<R>(`${head} ${places.join(', ')} ${tail}`, some.flat())));
    at += count;
  }
  return returned;
}
