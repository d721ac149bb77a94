import { Agent, request } from 'node:https';
import { mediaTypes } from '@mecai/voucher';

export interface Reply {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Buffer;
  /** Of a body that is JSON. */
  readonly json: () => Record<string, unknown>;
}

export interface Call {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Several: sent in chunks, without a content-length. */
  readonly body?: Uint8Array | string | readonly Uint8Array[];
  readonly cert?: string;
  readonly key?: string | Buffer;
  readonly agent?: Agent;
}

/** One HTTPS exchange; whoever answers is believed. */
export function call(url: string, options: Call = {}): Promise<Reply> {
  const { method = 'POST', headers, body, ...rest } = options;
  return new Promise((resolve, reject) => {
    const outgoing = request(
      url,
      {
        method,
        rejectUnauthorized: false,
        agent: rest.agent ?? false,
        ...rest,
        headers: { 'content-type': mediaTypes.request, ...headers },
      },
      (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('error', reject);
        response.on('end', () => {
          const bytes = Buffer.concat(chunks);
          const json = () => {
            const value: Record<string, unknown> = JSON.parse(bytes.toString());
            return value;
          };
          resolve({ status: response.statusCode!, headers: response.headers, body: bytes, json });
        });
      },
    );
    outgoing.on('error', reject);
    if (body === undefined || typeof body === 'string' || body instanceof Uint8Array) outgoing.end(body);
    else {
      for (const chunk of body) outgoing.write(chunk);
      outgoing.end();
    }
  });
}

export const json = { 'content-type': mediaTypes.json };
