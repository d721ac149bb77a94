import { createHmac } from 'node:crypto';
import { type Logger, RuntimeError, readText } from '@mecai/runtime';
import { type Transporter, createTransport } from 'nodemailer';
import type { AnalyticsConfig } from './config.ts';
import type { IncidentRow } from './rows.ts';
import type { Store } from './store.ts';

type Channel = 'webhook' | 'mail';
type AlertConfig = AnalyticsConfig['alerts'];

interface Pending {
  readonly incident: IncidentRow;
  readonly channel: Channel;
  tries: number;
  nextAt: number;
}

export interface AlertOptions {
  readonly config: Omit<AlertConfig, 'kinds'>;
  /** Of what incidents is told, now. */
  readonly kinds: () => AlertConfig['kinds'];
  /** Key of the webhook's signatures. */
  readonly secret: Uint8Array | undefined;
  readonly store: () => Store | undefined;
  readonly now: () => number;
  readonly log: Logger;
}

/** First pause after a failure, doubled each time up to the longest; then given up after a day. */
const pauseMs = { first: 1000, longest: 600_000 };
const dayMs = 86_400_000;
const mostPending = 1000;
const requestMs = 10_000;

/**
 * Tells of incidents that open and of those that are over, by webhook and mail. What was accepted is in the table
 * `alerts`, so an alert is sent again after a crash in between, and otherwise once; receivers tell repetitions by
 * the message's id.
 */
export class Alerts {
  readonly #options: AlertOptions;
  readonly #mail: Transporter | undefined;
  readonly #pending = new Map<string, Pending>();
  #told: Set<string> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #turn: Promise<void> = Promise.resolve();

  constructor(options: AlertOptions) {
    this.#options = options;
    const { mail } = options.config;
    this.#mail =
      mail && createTransport({ url: mail.server, connectionTimeout: requestMs } as { url: string });
  }

  get pending(): number {
    return this.#pending.size;
  }

  start(): void {
    this.#timer = setInterval(() => this.#go(), 1000);
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.#turn;
    this.#mail?.close();
  }

  /** Called with each incident that was stored. */
  tell(incident: IncidentRow): void {
    const { config } = this.#options;
    if (!this.#options.kinds().includes(incident.kind)) return;
    const channels: Channel[] = [];
    if (config.webhook) channels.push('webhook');
    if (config.mail) channels.push('mail');
    for (const channel of channels) {
      const key = keyOf(incident, channel);
      if (this.#told?.has(key)) continue;
      const before = this.#pending.get(key);
      if (!before && this.#pending.size >= mostPending) continue;
      this.#pending.set(key, { incident, channel, tries: before?.tries ?? 0, nextAt: before?.nextAt ?? 0 });
    }
    this.#go();
  }

  #go(): void {
    this.#turn = this.#turn
      .then(() => this.#sendDue())
      .catch((error: unknown) => this.#options.log.warn({ reason: reasonOf(error) }, 'alerts wait'));
  }

  async #sendDue(): Promise<void> {
    const { store: storeNow, now, log } = this.#options;
    const store = storeNow();
    if (!store || this.#pending.size === 0) return;
    this.#told ??= await toldBefore(store, now() - 7 * dayMs);
    for (const [key, pending] of this.#pending) {
      if (this.#told.has(key)) this.#pending.delete(key);
      else if (pending.nextAt <= now()) {
        try {
          await (pending.channel === 'mail' ? this.#post(pending) : this.#call(pending, key));
        } catch (error) {
          const pause = Math.min(pauseMs.first * 2 ** pending.tries++, pauseMs.longest);
          pending.nextAt = now() + pause;
          log.warn({ channel: pending.channel, reason: reasonOf(error) }, 'alert not taken; trying again');
          if (pending.incident.updated_at < now() - dayMs) this.#pending.delete(key);
          continue;
        }
        const { id, state } = pending.incident;
        await store.insert(
          'alerts',
          [{ incident: id, state, channel: pending.channel, sent_at: now() }],
          [key],
        );
        this.#told.add(key);
        this.#pending.delete(key);
      }
    }
  }

  /** Signed as Standard Webhooks has it (standardwebhooks.com, version 1, HMAC-SHA256). */
  async #call({ incident }: Pending, key: string): Promise<void> {
    const body = JSON.stringify({ type: `incident.${incident.state}`, data: incident });
    const id = `msg_${key.replaceAll(' ', '_')}`;
    const timestamp = Math.floor(this.#options.now() / 1000);
    const signature = createHmac('sha256', this.#options.secret!)
      .update(`${id}.${timestamp}.${body}`)
      .digest('base64');
    const response = await fetch(this.#options.config.webhook!.url, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        'webhook-id': id,
        'webhook-timestamp': String(timestamp),
        'webhook-signature': `v1,${signature}`,
      },
      body,
      redirect: 'error',
      signal: AbortSignal.timeout(requestMs),
    });
    await response.body?.cancel();
    if (!response.ok) throw new Error(`the webhook answered ${response.status}`);
  }

  async #post({ incident }: Pending): Promise<void> {
    const { from, to } = this.#options.config.mail!;
    const sure = `${Math.round(incident.confidence * 100)} %`;
    await this.#mail!.sendMail({
      from,
      to: [...to],
      subject: oneLine(`[mecai] ${incident.kind} ${incident.state}: ${incident.summary}`).slice(0, 200),
      text: [
        oneLine(incident.summary),
        '',
        `Incident ${incident.id}, ${incident.state}, ${sure} sure by rules ${incident.rules_version}`,
        `Signs: ${incident.reasons.join(', ')}`,
        `Agents: ${incident.agents.join(', ')}`,
        ...incident.endpoints.slice(0, 20).map((endpoint) => `  ${oneLine(endpoint)}`),
      ].join('\n'),
      // The same alert again is the same mail.
      messageId: `<${incident.id}.${incident.state}@mecai.invalid>`,
    });
  }
}

/**
 * The key in the file: base64, after `whsec_` if that is there.
 *
 * @throws RuntimeError when the file cannot be read, or the key has fewer than 24 octets
 */
export function webhookSecret(file: string): Uint8Array {
  const secret = Buffer.from(
    readText(file)
      .trim()
      .replace(/^whsec_/, ''),
    'base64',
  );
  if (secret.length < 24) throw new RuntimeError('bad-configuration', `${file}: no key of 24 octets or more`);
  return secret;
}

const keyOf = ({ id, state }: IncidentRow, channel: Channel) => `${id} ${state} ${channel}`;

/** Names and issuers are what servers send. */
const oneLine = (text: string) => text.replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, ' ');

const reasonOf = (error: unknown) => (error instanceof Error ? error.message : String(error));

async function toldBefore(store: Store, since: number): Promise<Set<string>> {
  const rows = await store.query<{ key: string }>(
    `SELECT concat(incident, ' ', state, ' ', channel) AS key FROM alerts
     WHERE sent_at >= fromUnixTimestamp64Milli({since:Int64})`,
    { since },
  );
  return new Set(rows.map(({ key }) => key));
}
