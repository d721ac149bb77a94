/** What the sinks have stored, each in a store of its own. */

export interface Stored {
  /** First halves of the SHA-256 of observations, hex. */
  readonly observations: ReadonlySet<string>;
  /** Nonces of decisions, hex. */
  readonly decisions: ReadonlySet<string>;
  /** Of all observations in all stores: what two have counts twice. */
  readonly rows: number;
}

export async function readStored(sinks: readonly { readonly apiUrl: string }[]): Promise<Stored> {
  const all = async (what: string) =>
    (await Promise.all(sinks.map(({ apiUrl }) => list(apiUrl, what)))).flat();
  const [observations, decisions] = await Promise.all([all('observations'), all('decisions')]);
  return {
    observations: new Set(observations.map(({ id }) => id)),
    decisions: new Set(decisions.map(({ nonce }) => nonce)),
    rows: observations.length,
  };
}

interface Row {
  readonly id: string;
  readonly nonce: string;
}

async function list(apiUrl: string, what: string): Promise<Row[]> {
  const rows: Row[] = [];
  for (let cursor = ''; ; ) {
    const response = await fetch(`${apiUrl}/api/v1/${what}?limit=1000${cursor}`);
    if (!response.ok) throw new Error(`${apiUrl} ${what}: ${response.status} ${await response.text()}`);
    const { items, next } = (await response.json()) as { items: Row[]; next: string | null };
    rows.push(...items);
    if (next === null) return rows;
    cursor = `&cursor=${encodeURIComponent(next)}`;
  }
}
