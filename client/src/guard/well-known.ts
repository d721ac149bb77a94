/** Vouchers from the server's own file, read on the connection at hand before anything else is sent on it. */
import { bundleLimits, bundleMediaType, bundlePath } from '@mecai/voucher';
import type { TLSSocket } from 'node:tls';
import { type Candidate, candidatesFromBundle } from '../candidates.ts';
import { AnswerReader, type HttpAnswer } from './http-answer.ts';

export interface BundleAnswer {
  readonly candidates: readonly Candidate[];
  /** Whether the connection can go on: the answer was read to its end, and the server keeps it open. */
  readonly reusable: boolean;
}

const nothing: BundleAnswer = { candidates: [], reusable: false };

/**
 * One GET in HTTP/1.1, without cookies or anything else that is the user's. Never rejects: whatever comes back,
 * or does not, is an answer without candidates.
 *
 * @param socket nobody else reads it, and nothing was sent on it
 * @param host as in the URL of the request to come
 * @param leaf DER of the server certificate
 */
export function readBundle(
  socket: TLSSocket,
  host: string,
  leaf: Uint8Array,
  withinMs: number,
): Promise<BundleAnswer> {
  const reader = new AnswerReader(bundleLimits.octets);
  return new Promise((resolve) => {
    const end = (answer: BundleAnswer) => {
      clearTimeout(patience);
      socket.off('data', data).off('error', failed).off('close', failed);
      resolve(answer);
    };
    const failed = () => end(nothing);
    const data = (chunk: Buffer) => {
      const answer = reader.push(chunk);
      if (answer) end(answer === 'unreadable' ? nothing : bundleOf(answer));
    };
    const patience = setTimeout(failed, withinMs);
    socket.on('data', data).once('error', failed).once('close', failed);
    socket.write(
      `GET ${bundlePath(leaf)} HTTP/1.1\r\nHost: ${host}\r\nAccept: ${bundleMediaType}\r\n` +
        'User-Agent: mecai\r\nConnection: keep-alive\r\n\r\n',
    );
  });
}

const bundleOf = ({ status, body, reusable }: HttpAnswer): BundleAnswer => ({
  candidates: status === 200 ? candidatesFromBundle(body) : [],
  reusable,
});
