/** One bounded HTTPS exchange. */
import { type Agent, request as httpsRequest } from 'node:https';
import { ClientError } from './error.ts';

export interface Exchange {
  readonly url: URL;
  readonly agent: Agent;
  readonly method: 'GET' | 'POST';
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: Uint8Array;
  /** Milliseconds for the whole exchange. */
  readonly timeoutMs: number;
  readonly maxOctets: number;
  readonly signal?: AbortSignal;
}

export interface Answer {
  readonly status: number;
  /** Media type in lower case, without parameters; empty if there is none. */
  readonly type: string;
  /** Retry-After in seconds (RFC 9110 section 10.2.3), if it is given so. */
  readonly retryAfter?: number;
  readonly body: Buffer;
}

/** Throws `ClientError` with `unreachable`, or `bad-response` for an answer above `maxOctets`. */
export function exchange(options: Exchange): Promise<Answer> {
  return attempt(options, AbortSignal.timeout(options.timeoutMs));
}

function attempt(options: Exchange, timeout: AbortSignal): Promise<Answer> {
  const { url, agent, method, body, maxOctets, timeoutMs } = options;
  const signal = options.signal ? AbortSignal.any([options.signal, timeout]) : timeout;
  return new Promise((resolve, reject) => {
    const fail = (cause: unknown) => {
      if (cause instanceof ClientError) return reject(cause);
      // The server closed a kept connection just as it was used again: its right (RFC 9112 section 9.5).
      if (request.reusedSocket && isReset(cause) && !signal.aborted)
        return resolve(attempt(options, timeout));
      const why = timeout.aborted ? `no answer within ${timeoutMs} ms` : words(cause);
      reject(new ClientError('unreachable', `${url.host}: ${why}`, { cause }));
    };
    const headers = { ...options.headers, ...(body && { 'content-length': String(body.length) }) };
    const request = httpsRequest(url, { agent, method, headers, signal }, (response) => {
      const chunks: Buffer[] = [];
      let octets = 0;
      response.on('data', (chunk: Buffer) => {
        octets += chunk.length;
        if (octets > maxOctets) {
          response.destroy(
            new ClientError('bad-response', `${url.host}: an answer above ${maxOctets} octets`),
          );
        } else chunks.push(chunk);
      });
      response.on('error', fail);
      response.on('end', () => {
        const type = (response.headers['content-type'] ?? '').split(';', 1)[0]!.trim().toLowerCase();
        const wait = response.headers['retry-after'];
        resolve({
          status: response.statusCode ?? 0,
          type,
          ...(wait !== undefined && /^\d{1,9}$/.test(wait) && { retryAfter: Number(wait) }),
          body: Buffer.concat(chunks),
        });
      });
    });
    request.on('error', fail);
    request.end(body);
  });
}

const isReset = (cause: unknown): boolean =>
  cause instanceof Error && 'code' in cause && (cause.code === 'ECONNRESET' || cause.code === 'EPIPE');

/** Node tries several addresses and then throws an error that has no words of its own. */
function words(cause: unknown): string {
  if (cause instanceof AggregateError) return cause.errors.map(words).join('; ');
  return cause instanceof Error ? cause.message : String(cause);
}
