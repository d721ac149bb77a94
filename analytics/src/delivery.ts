/** What JetStream says of a message it hands out. */
export interface Delivery {
  readonly redelivered: boolean;
  /** Place in the stream. */
  readonly sequence: number;
  /** When JetStream stored it, milliseconds since 1970. */
  readonly receivedAt: number;
  /** Messages that wait behind it. */
  readonly pending: number;
}

const dot = 46;

/**
 * Reads the subject of acknowledgement (NATS ADR-15):
 *
 *     $JS.ACK.<stream>.<consumer>.<delivered>.<stream seq>.<consumer seq>.<timestamp, ns>.<pending>
 *
 * with `<domain>.<account hash>` before the stream, and a token after all of it, from servers that have them.
 *
 * @throws TypeError when it is none
 */
export function parseDelivery(reply: string): Delivery {
  if (!reply.startsWith('$JS.ACK.')) throw new TypeError('not a message of JetStream');
  let tokens = 1;
  for (let i = 0; i < reply.length; i++) if (reply.charCodeAt(i) === dot) tokens++;
  if (tokens !== 9 && tokens < 11) throw new TypeError('not a message of JetStream');
  let at = 0;
  for (let skip = tokens === 9 ? 4 : 6; skip > 0; skip--) at = reply.indexOf('.', at) + 1;
  const number = (end: number) => {
    let value = 0;
    for (; at < end; at++) value = value * 10 + reply.charCodeAt(at) - 48;
    return value;
  };
  const next = () => {
    const dotAt = reply.indexOf('.', at);
    const value = number(dotAt < 0 ? reply.length : dotAt);
    at++;
    return value;
  };
  const delivered = next();
  const sequence = next();
  next();
  // Nanoseconds are more than a number of JavaScript tells apart.
  const receivedAt = number(reply.indexOf('.', at) - 6);
  at = reply.indexOf('.', at) + 1;
  return { redelivered: delivered > 1, sequence, receivedAt, pending: next() };
}
