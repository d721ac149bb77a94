import type { Database } from '@mecai/database';
import type {
  BounceDeliveryRequest,
  BounceDeliveryResponse,
  Delivery as DeliveryMessage,
  DropDeliveryRequest,
  DropDeliveryResponse,
  ListDeliveriesRequest,
  ListDeliveriesResponse,
  OutboxServiceServer,
  RetryDeliveryRequest,
  RetryDeliveryResponse,
} from '@mecai/proto/coordinator';
import type { Logger } from '@mecai/runtime';
import { CoordinatorError } from '../error.ts';
import type { Command } from '../operator-server.ts';
import { readBounce } from './bounce.ts';
import {
  type Delivery,
  type DeliveryState,
  bounceDelivery,
  deliveryStates,
  dropDelivery,
  listDeliveries,
  retryDelivery,
} from './outbox.ts';

export interface OutboxServiceParts {
  readonly database: () => Database;
  readonly log: Logger;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

const defaultLimit = 100;
const mostListed = 10_000;

export function outboxService(
  { database, log, now }: OutboxServiceParts,
  command: Command,
): OutboxServiceServer {
  /** @param done whether there was a delivery that this could be done to */
  const told = (what: string, id: string, operator: string, done: boolean) => {
    if (!done) throw misused(`${id} is no delivery that can be ${what}`);
    log.warn({ operator, delivery: id }, `delivery ${what}`);
    return {};
  };
  return {
    listDeliveries: command<ListDeliveriesRequest, ListDeliveriesResponse>(async ({ states, limit }) => {
      const known = states.map((state) => {
        if (!isState(state)) throw misused(`states are ${deliveryStates.join(', ')}`);
        return state;
      });
      const most = Math.min(limit === 0 ? defaultLimit : limit, mostListed);
      const found = await listDeliveries(database(), known.length > 0 ? known : deliveryStates, most);
      return { deliveries: found.map(deliveryMessage) };
    }),
    retryDelivery: command<RetryDeliveryRequest, RetryDeliveryResponse>(async ({ id }, operator) =>
      told('tried again', id, operator, await retryDelivery(database(), id, now())),
    ),
    dropDelivery: command<DropDeliveryRequest, DropDeliveryResponse>(async ({ id }, operator) =>
      told('dropped', id, operator, await dropDelivery(database(), id, now())),
    ),
    bounceDelivery: command<BounceDeliveryRequest, BounceDeliveryResponse>(async (request, operator) => {
      const { report, recipient } = request;
      const bounce = report.length > 0 ? readBounce(report, recipient) : request;
      // Delays and people's answers come to the same mailbox, and are nobody's mistake.
      if (!bounce) return {};
      const { id, detail } = bounce;
      const done = await bounceDelivery(database(), id, detail.slice(0, 1_000), now());
      return told('bounced', id, operator, done);
    }),
  };
}

export const deliveryMessage = (delivery: Delivery): DeliveryMessage => ({
  id: delivery.id,
  recipient: delivery.recipient,
  source: delivery.source,
  kind: delivery.kind,
  about: delivery.about,
  state: delivery.state,
  enqueuedAt: delivery.enqueuedAt,
  tries: delivery.tries,
  nextAt: delivery.nextAt,
  detail: delivery.detail,
});

const isState = (text: string): text is DeliveryState => (deliveryStates as readonly string[]).includes(text);
const misused = (why: string) => new CoordinatorError('bad-request', why);
