import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { type Agent, request } from 'node:https';
import { decodeVoucherResponse, mediaTypes } from '@mecai/voucher';

/** @returns what became of the only chain */
export async function ask(url: string, agent: Agent, body: Uint8Array): Promise<string> {
  const sent = request(url, {
    agent,
    method: 'POST',
    headers: { 'content-type': mediaTypes.request, 'content-length': body.length },
  });
  sent.end(body);
  const [answer] = (await once(sent, 'response')) as [IncomingMessage];
  const chunks: Buffer[] = [];
  for await (const chunk of answer as AsyncIterable<Buffer>) chunks.push(chunk);
  return decodeVoucherResponse(Buffer.concat(chunks)).results[0]!.status;
}
