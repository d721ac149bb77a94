import type { Loaded } from '../api.ts';
import { navigate } from '../route.ts';
import { Table, type TableOf } from '../table.tsx';
import type { Page } from '../types.ts';
import { Show } from '../ui.tsx';

/** Path of a list with the filters that are in the URL. */
export function listPath(list: string, query: URLSearchParams, filters: readonly string[]): string {
  const asked = new URLSearchParams();
  for (const name of [...filters, 'cursor']) {
    const value = query.get(name);
    if (value) asked.set(name, value);
  }
  asked.set('limit', '50');
  return `${list}?${asked.toString()}`;
}

/** A page of a list, and the way to the others. */
export const Listed = <T,>({
  of,
  query,
  ...table
}: Omit<TableOf<T>, 'rows'> & { of: Loaded<Page<T>>; query: URLSearchParams }) => (
  <Show of={of}>
    {({ items, next }) => (
      <>
        <Table {...table} rows={items} />
        <More next={next} query={query} />
      </>
    )}
  </Show>
);

/** To the next page, and back to the first. */
function More({ next, query }: { next: string | null; query: URLSearchParams }) {
  const go = (cursor: string | null) => {
    const changed = new URLSearchParams(query);
    if (cursor === null) changed.delete('cursor');
    else changed.set('cursor', cursor);
    navigate(`${location.pathname}?${changed.toString()}`);
  };
  if (next === null && !query.has('cursor')) return null;
  return (
    <nav class="pages" aria-label="Pages">
      {query.has('cursor') && (
        <button type="button" onClick={() => go(null)}>
          First page
        </button>
      )}
      {next !== null && (
        <button type="button" onClick={() => go(next)}>
          Next page
        </button>
      )}
    </nav>
  );
}
