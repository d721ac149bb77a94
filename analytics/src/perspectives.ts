import { PlaceDoubts } from '@mecai/corroboration';
import { AgentStatus, subjects } from '@mecai/proto';
import type { NatsConnection } from '@nats-io/transport-node';
import type { Agents } from './agents.ts';

/** What an agent said of itself last. */
interface Heard {
  readonly at: number;
  readonly status: AgentStatus;
}

export interface PerspectiveHealth {
  readonly agent: string;
  readonly city: string;
  readonly country: string;
  readonly region: string;
  readonly rir: string;
  readonly asn: number;
  readonly latitude: number;
  readonly longitude: number;
  /** alive: heard of within the last seconds; silent: not any more; unheard: not since this process began. */
  readonly state: 'alive' | 'silent' | 'unheard';
  /** When it was heard last; null: never. */
  readonly heardAt: string | null;
  /** By how much its clock is ahead, milliseconds; null: unknown. */
  readonly clockAheadMs: number | null;
  readonly probesInFlight: number;
  readonly unconfirmed: number;
  readonly locationCheck: string;
  readonly contradictions: readonly string[];
}

/** Agents say every two seconds that they live. */
const aliveMs = 10_000;

/** Follows what agents say of themselves; an agent that is not in the registry is not listed. */
export class Perspectives {
  readonly #agents: Agents;
  readonly #now: () => number;
  readonly #heard = new Map<string, Heard>();
  readonly #doubts: PlaceDoubts;

  constructor(agents: Agents, now: () => number) {
    this.#agents = agents;
    this.#now = now;
    const registry = () => ({ agents: new Map(agents.all().map((one) => [one.name, one])) });
    this.#doubts = new PlaceDoubts(registry, now);
  }

  /** Until the connection closes. */
  follow(nats: NatsConnection): void {
    nats.subscribe(subjects.agentStatus('*'), {
      callback: (error, message) => {
        if (error) return;
        const name = message.subject.split('.')[2] ?? '';
        if (!this.#agents.find(name)) return;
        try {
          const status = AgentStatus.decode(message.data);
          this.#heard.set(name, { at: this.#now(), status });
          if (status.roundTrip) this.#doubts.hear(name, status.roundTrip);
        } catch {
          // Not a sign of life.
        }
      },
    });
  }

  list(): PerspectiveHealth[] {
    const now = this.#now();
    return this.#agents.all().map(({ name, city, country, region, rir, asn, latitude, longitude }) => {
      const heard = this.#heard.get(name);
      const { status, at } = heard ?? {};
      const tooNear = this.#doubts.of(name);
      return {
        agent: name,
        city,
        country,
        region,
        rir,
        asn,
        latitude,
        longitude,
        state: at === undefined ? 'unheard' : now - at <= aliveMs ? 'alive' : 'silent',
        heardAt: at === undefined ? null : new Date(at).toISOString(),
        clockAheadMs: status && at !== undefined ? status.sentAt - at : null,
        probesInFlight: status?.probesInFlight ?? 0,
        unconfirmed: status?.unconfirmed ?? 0,
        locationCheck: tooNear.length > 0 ? 'contradicts' : (status?.locationCheck ?? 'not-checked'),
        contradictions: [...(status?.contradictions ?? []), ...tooNear],
      };
    });
  }
}
