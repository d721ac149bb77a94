import type { NatsConnection } from '@nats-io/transport-node';
import { NatsConnectionImpl } from '@nats-io/nats-core/internal';
import { Octets } from './octets.ts';

/**
 * Acknowledgements of a batch, as they go to nats-server, in one write: to publish each by itself takes more time than to decode
 * and pack the message.
 */
export class Acknowledgements {
  readonly #commands = new Octets();

  /** @param reply subject that a message wants its acknowledgement on */
  add(reply: string): void {
    this.#commands.latin1(`PUB ${reply} 4\r\n+ACK\r\n`);
  }

  send(nats: NatsConnection): void {
    if (!(nats instanceof NatsConnectionImpl)) throw new TypeError('not a connection of nats-core');
    nats.protocol.sendCommand(this.#commands.view());
  }
}
