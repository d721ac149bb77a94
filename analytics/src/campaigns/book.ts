import type { Store } from '../store.ts';

/** How the endpoints of a campaign are chosen. */
export type Choice =
  | {
      readonly kind: 'endpoints';
      readonly endpoints: readonly {
        readonly address: string;
        readonly port: number;
        readonly serverName: string;
        readonly startTls: string;
      }[];
    }
  /** Wherever the certificate was seen. */
  | { readonly kind: 'certificate'; readonly subject: string }
  /** Wherever certificates of this issuer, as text, were seen that have not run out. */
  | { readonly kind: 'issuer'; readonly subject: string }
  /** What vouchers that have not run out vouch for; `subject`: only where the certificate has this issuer. */
  | { readonly kind: 'vouchers'; readonly subject: string };

export interface NewCampaign {
  readonly name: string;
  readonly choice: Choice;
  readonly perMinute: number;
  readonly perspectives: number;
  readonly rounds: number;
  readonly everySeconds: number;
}

export interface Campaign {
  readonly id: string;
  readonly version: number;
  readonly name: string;
  readonly state: 'running' | 'stopped' | 'done';
  /** Milliseconds since 1970. */
  readonly created_at: number;
  readonly author: string;
  readonly kind: Choice['kind'];
  readonly subject: string;
  readonly endpoints: number;
  readonly per_minute: number;
  readonly perspectives: number;
  readonly rounds: number;
  readonly every_seconds: number;
  readonly round: number;
  readonly next: number;
}

export interface CampaignTarget {
  readonly number: number;
  readonly address: string;
  readonly port: number;
  readonly server_name: string;
  readonly start_tls: string;
  readonly key_type: string;
  readonly leaf: string;
}

/** Endpoints of a campaign, at most. */
export const maxTargets = 100_000;

// The embedded engine's session may still have the token of another insert.
const insert = (table: string) => `INSERT INTO ${table} SETTINGS insert_deduplicate = 0`;

const numbered = `toUInt32(row_number() OVER (ORDER BY server_name, port, address) - 1)`;

/** The newest at each endpoint of those certificates that have not run out. */
const seenAt = (
  condition: string,
) => `SELECT address, port, server_name, start_tls, argMax(e.leaf, e.last_seen) AS leaf
  FROM endpoint_certificates AS e
  WHERE ${condition} AND e.leaf NOT IN (SELECT fingerprint FROM certificates
    WHERE not_after < fromUnixTimestamp64Milli({now:Int64}, 'UTC'))
  GROUP BY address, port, server_name, start_tls`;

const chosen: Readonly<Record<Choice['kind'], string>> = {
  endpoints: `SELECT toIPv6(one.1) AS address, one.2 AS port, one.3 AS server_name, one.4 AS start_tls, '' AS leaf
    FROM (SELECT arrayJoin(arrayZip({addresses:Array(String)}, {ports:Array(UInt16)}, {names:Array(String)},
      {protocols:Array(String)})) AS one)`,
  certificate: seenAt('e.leaf = {subject:String}'),
  issuer: seenAt('e.issuer = {subject:String}'),
  vouchers: `SELECT arrayJoin(v.address) AS address, port, server_name, start_tls, any(v.leaf) AS leaf
    FROM vouchers AS v FINAL WHERE not_after > fromUnixTimestamp64Milli({now:Int64}, 'UTC')
      AND ({subject:String} = '' OR v.leaf IN (SELECT fingerprint FROM certificates WHERE issuer = {subject:String}))
    GROUP BY address, port, server_name, start_tls`,
};

const fields = `id, version, name, state, toUnixTimestamp64Milli(c.created_at) AS created_at, author, kind, subject,
  endpoints, per_minute, perspectives, rounds, every_seconds, round, next`;

/** Campaigns as they stand in the store. Whoever runs them reads from here and says how far it is. */
export class CampaignBook {
  readonly #now: () => number;
  readonly #newId: () => string;

  /** @param newId 16 random octets in hexadecimal */
  constructor({ now, newId }: { now: () => number; newId: () => string }) {
    this.#now = now;
    this.#newId = newId;
  }

  /** Chooses the endpoints as of now. */
  async order(store: Store, wanted: NewCampaign, author: string): Promise<Campaign> {
    const id = this.#newId();
    const now = this.#now();
    const { choice } = wanted;
    const endpoints = choice.kind === 'endpoints' ? choice.endpoints : [];
    const subject = choice.kind === 'endpoints' ? '' : choice.subject;
    await store.command(
      `${insert('campaign_targets')} SELECT {id:String}, ${numbered}, address, port, server_name, start_tls, 'any', leaf
        FROM (${chosen[choice.kind]}) LIMIT ${maxTargets}`,
      {
        id,
        now,
        subject,
        addresses: endpoints.map(({ address }) => address),
        ports: endpoints.map(({ port }) => port),
        names: endpoints.map(({ serverName }) => serverName),
        protocols: endpoints.map(({ startTls }) => startTls),
      },
    );
    const [counted] = await store.query<{ n: number }>(
      'SELECT count() AS n FROM campaign_targets FINAL WHERE campaign = {id:String}',
      { id },
    );
    const campaign: Campaign = {
      id,
      version: 1,
      name: wanted.name,
      state: counted!.n === 0 ? 'done' : 'running',
      created_at: now,
      author,
      kind: choice.kind,
      subject,
      endpoints: counted!.n,
      per_minute: wanted.perMinute,
      perspectives: wanted.perspectives,
      rounds: wanted.rounds,
      every_seconds: wanted.everySeconds,
      round: 0,
      next: 0,
    };
    await this.#write(store, campaign);
    return campaign;
  }

  async find(store: Store, id: string): Promise<Campaign | undefined> {
    const [campaign] = await store.query<Campaign>(
      `SELECT ${fields} FROM campaigns AS c FINAL WHERE id = {id:String}`,
      { id },
    );
    return campaign;
  }

  running(store: Store): Promise<Campaign[]> {
    return store.query<Campaign>(
      `SELECT ${fields} FROM campaigns AS c FINAL WHERE state = 'running' ORDER BY c.created_at LIMIT 1000`,
    );
  }

  targets(store: Store, id: string, from: number, limit: number): Promise<CampaignTarget[]> {
    return store.query<CampaignTarget>(
      `SELECT number, replaceRegexpOne(toString(address), '^::ffff:', '') AS address, port, server_name, start_tls,
          key_type, leaf
        FROM campaign_targets FINAL WHERE campaign = {id:String} AND number >= {from:UInt32}
        ORDER BY number LIMIT {limit:UInt32}`,
      { id, from, limit },
    );
  }

  async stop(store: Store, campaign: Campaign): Promise<void> {
    if (campaign.state === 'running') await this.#write(store, { ...campaign, state: 'stopped' });
  }

  /** How far its runner is; ended when the last round is through. */
  async advance(
    store: Store,
    campaign: Campaign,
    { round, next }: { round: number; next: number },
  ): Promise<void> {
    if (campaign.state !== 'running') return;
    await this.#write(store, {
      ...campaign,
      round,
      next,
      state: round >= campaign.rounds ? 'done' : 'running',
    });
  }

  /** What came of it: each endpoint with what was last seen there, and what that means. */
  async results(store: Store, campaign: Campaign): Promise<Record<string, unknown>[]> {
    return await store.query(
      `WITH seen AS (
          SELECT server_name, port, start_tls, address, uniqExact(agent) AS perspectives,
            uniqExactIf(agent, leaf != '') AS answered, countIf(leaf != '') AS proven,
            groupUniqArrayIf(20)(leaf, leaf != '') AS leaves, max(received_at) AS last_at
          FROM observations
          WHERE campaign = {id:String} AND received_at >= fromUnixTimestamp64Milli({since:Int64}, 'UTC')
          GROUP BY server_name, port, start_tls, address)
        SELECT t.number AS number, replaceRegexpOne(toString(t.address), '^::ffff:', '') AS address, t.port AS port,
          t.server_name AS server_name, t.start_tls AS start_tls, t.leaf AS leaf, s.leaves AS leaves,
          s.perspectives AS perspectives, s.answered AS answered,
          if(s.perspectives = 0, NULL, s.last_at) AS last_at,
          multiIf(s.perspectives = 0, 'waiting', s.proven = 0, 'unreachable', t.leaf = '', 'seen',
            has(s.leaves, t.leaf), 'served', 'replaced') AS state
        FROM campaign_targets AS t FINAL LEFT JOIN seen AS s
          ON s.server_name = t.server_name AND s.port = t.port AND s.start_tls = t.start_tls AND s.address = t.address
        WHERE t.campaign = {id:String} ORDER BY number LIMIT ${maxTargets}
        SETTINGS date_time_output_format = 'iso', joined_subquery_requires_alias = 0`,
      { id: campaign.id, since: campaign.created_at },
    );
  }

  async #write(store: Store, campaign: Campaign): Promise<void> {
    const version = Math.max(campaign.version + 1, this.#now());
    await store.command(
      `${insert('campaigns')} SELECT {id:String}, {version:UInt64}, {name:String}, {state:String},
        fromUnixTimestamp64Milli({created_at:Int64}, 'UTC'), fromUnixTimestamp64Milli({updated:Int64}, 'UTC'),
        {author:String}, {kind:String}, {subject:String}, {endpoints:UInt32}, {per_minute:UInt32},
        {perspectives:UInt16}, {rounds:UInt32}, {every_seconds:UInt32}, {round:UInt32}, {next:UInt32}`,
      { ...campaign, version, updated: this.#now() },
    );
  }
}
