import type { ComponentChildren } from 'preact';
import { useRef, useState } from 'preact/hooks';
import { count } from './format.ts';

export interface ColumnOf<T> {
  readonly name: string;
  readonly cell: (row: T) => ComponentChildren;
  readonly numeric?: boolean;
  /** Sentences rather than words. */
  readonly wide?: boolean;
}

export interface TableOf<T> {
  readonly caption: string;
  readonly columns: readonly ColumnOf<T>[];
  readonly rows: readonly T[];
  readonly keyOf: (row: T, index: number) => string;
  readonly empty?: string;
  /** Rows shown before one asks for all. */
  readonly most?: number;
  /** Columns are compared, on a narrow screen too: there it scrolls to the side where it must, by keyboard as well. */
  readonly compared?: boolean;
}

/** A table; on a narrow screen a row's values stand one below the other, each behind the name of its column. */
export function Table<T>({
  caption,
  columns,
  rows,
  keyOf,
  empty = 'Nothing yet.',
  most = Infinity,
  compared = false,
}: TableOf<T>) {
  const [all, setAll] = useState(false);
  const region = useRef<HTMLDivElement>(null);
  if (rows.length === 0) return <p class="empty">{empty}</p>;
  const table = (
    <div
      ref={region}
      class={compared ? 'scroll' : 'scroll stacked'}
      tabIndex={0}
      role="region"
      aria-label={caption}
    >
      <table role="table">
        <caption class="unseen">{caption}</caption>
        <thead role="rowgroup">
          <tr role="row">
            {columns.map(({ name, numeric }) => (
              <th key={name} role="columnheader" scope="col" class={numeric ? 'numeric' : ''}>
                {name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody role="rowgroup">
          {rows.slice(0, all ? rows.length : most).map((row, index) => (
            <tr key={keyOf(row, index)} role="row">
              {columns.map(({ name, cell, numeric, wide }) => (
                <td key={name} role="cell" data-name={name} class={numeric ? 'numeric' : wide ? 'wide' : ''}>
                  {cell(row)}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
  if (all || rows.length <= most) return table;
  const showAll = () => {
    setAll(true);
    region.current?.focus();
  };
  return (
    <>
      {table}
      <button type="button" class="all" onClick={showAll}>
        Show all {count(rows.length)}
      </button>
    </>
  );
}
