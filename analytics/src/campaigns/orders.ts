import * as z from 'zod';

const campaign = z.object({
  id: z.string().regex(/^[0-9a-f]{32}$/),
  created_at: z.iso.datetime().transform((text) => Date.parse(text)),
  endpoints: z.int(),
  per_minute: z.int(),
  perspectives: z.int(),
  rounds: z.int(),
  every_seconds: z.int(),
  round: z.int(),
  next: z.int(),
});

const target = z.object({
  number: z.int(),
  address: z.union([z.ipv4(), z.ipv6()]),
  port: z.int(),
  server_name: z.string(),
  start_tls: z.string(),
  key_type: z.string(),
});

export type Order = z.output<typeof campaign>;
export type OrderTarget = z.output<typeof target>;

/** What was ordered, as analytics tells it. */
export interface Orders {
  running(): Promise<readonly Order[]>;
  targets(id: string, from: number): Promise<readonly OrderTarget[]>;
  advance(id: string, progress: { readonly round: number; readonly next: number }): Promise<void>;
}

const withinMs = 10_000;

/** The API of analytics, with a token of scopes read and operate. */
export function ordersOf(url: string, token: string): Orders {
  const ask = async (path: string, body?: unknown): Promise<unknown> => {
    const response = await fetch(new URL(`/api/v1/${path}`, url), {
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      signal: AbortSignal.timeout(withinMs),
      ...(body !== undefined && { method: 'POST', body: JSON.stringify(body) }),
    });
    if (!response.ok) throw new Error(`${path}: ${response.status} ${(await response.text()).slice(0, 200)}`);
    return await response.json();
  };
  return {
    async running() {
      return z.object({ items: z.array(campaign) }).parse(await ask('campaigns?state=running&limit=1000'))
        .items;
    },
    async targets(id, from) {
      return z
        .object({ items: z.array(target) })
        .parse(await ask(`campaigns/${id}/targets?from=${from}&limit=500`)).items;
    },
    async advance(id, progress) {
      await ask(`campaigns/${id}/progress`, progress);
    },
  };
}
