/** One exchange with the coordinator's `POST /enrolments`. */
import { request as httpsRequest } from 'node:https';
import { AgentError } from './error.ts';

const answerWithinMs = 10_000;
const maxOctets = 65_536;

/** Statuses that say nothing of the enrolment: later they may be others. */
const transient = new Set([408, 429]);

/**
 * @param ca PEM; the usual ones by default
 * @throws AgentError `join-refused`, `join-not-answered`; the signal's reason
 */
export async function sendEnrolment(
  url: URL,
  body: Uint8Array,
  { ca, signal }: { readonly ca: string | undefined; readonly signal: AbortSignal },
): Promise<'pending' | 'approved'> {
  const { status, text } = await post(url, body, ca, signal).catch((cause: unknown) => {
    signal.throwIfAborted();
    throw notAnswered(`${url.host}: ${words(cause)}`, cause);
  });
  const { state, title, detail } = membersOf(text);
  if (status === 200 && (state === 'pending' || state === 'approved')) return state;
  const said = [title, detail].filter((one) => typeof one === 'string').join(': ') || 'an unknown answer';
  if (status >= 400 && status < 500 && !transient.has(status)) throw new AgentError('join-refused', said);
  throw notAnswered(`${url.host}: ${status}, ${said}`);
}

function post(url: URL, body: Uint8Array, ca: string | undefined, ending: AbortSignal) {
  const signal = AbortSignal.any([ending, AbortSignal.timeout(answerWithinMs)]);
  return new Promise<{ status: number; text: string }>((resolve, reject) => {
    const headers = { 'content-type': 'application/json', 'content-length': body.length };
    const options = {
      method: 'POST',
      agent: false,
      headers,
      signal,
      ...(ca !== undefined && { ca }),
    } as const;
    const outgoing = httpsRequest(url, options, (response) => {
      const chunks: Buffer[] = [];
      let octets = 0;
      response.on('data', (chunk: Buffer) => {
        octets += chunk.length;
        if (octets > maxOctets) response.destroy(new Error(`an answer above ${maxOctets} octets`));
        else chunks.push(chunk);
      });
      response.on('error', reject);
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString() }),
      );
    });
    outgoing.on('error', reject);
    outgoing.end(body);
  });
}

function membersOf(text: string): Readonly<Record<string, unknown>> {
  try {
    return Object(JSON.parse(text));
  } catch {
    return {};
  }
}

/** Node tries several addresses and then throws an error that has no words of its own. */
function words(cause: unknown): string {
  if (cause instanceof AggregateError) return cause.errors.map(words).join('; ');
  return cause instanceof Error ? cause.message : String(cause);
}

const notAnswered = (why: string, cause?: unknown) => new AgentError('join-not-answered', why, { cause });
