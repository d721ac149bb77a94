/** As much of HTTP/1.1 as it takes to read one file of known length (RFC 9112), strictly. */

export interface HttpAnswer {
  readonly status: number;
  readonly body: Uint8Array;
  /** The connection stays open, and nothing came behind the answer. */
  readonly reusable: boolean;
}

const headOctets = 16_384;
const headEnd = Buffer.from('\r\n\r\n');

interface Head {
  readonly status: number;
  readonly length: number;
  readonly keepsOpen: boolean;
}

/** Takes octets until an answer is complete. One without Content-Length, or in chunks, is not read. */
export class AnswerReader {
  readonly #bodyOctets: number;
  #chunks: Buffer[] = [];
  #octets = 0;
  #head: Head | undefined;

  constructor(bodyOctets: number) {
    this.#bodyOctets = bodyOctets;
  }

  /** The answer once it is complete; `unreadable` when there will be none. */
  push(chunk: Buffer): HttpAnswer | 'unreadable' | undefined {
    this.#chunks.push(chunk);
    this.#octets += chunk.length;
    if (!this.#head) {
      const read = this.#readHead();
      if (read !== 'read') return read;
    }
    const { status, length, keepsOpen } = this.#head!;
    if (this.#octets < length) return undefined;
    const body = Buffer.concat(this.#chunks).subarray(0, length);
    return { status, body, reusable: keepsOpen && this.#octets === length };
  }

  #readHead(): 'read' | 'unreadable' | undefined {
    const start = Buffer.concat(this.#chunks);
    this.#chunks = [start];
    const end = start.indexOf(headEnd);
    if (end < 0) return start.length > headOctets ? 'unreadable' : undefined;
    this.#head = end > headOctets ? undefined : parseHead(start.toString('latin1', 0, end), this.#bodyOctets);
    if (!this.#head) return 'unreadable';
    const rest = start.subarray(end + headEnd.length);
    this.#chunks = [rest];
    this.#octets = rest.length;
    return 'read';
  }
}

/**
 * status-line = "HTTP/1." DIGIT SP 3DIGIT SP [ reason-phrase ]
 * field-line = field-name ":" OWS field-value OWS                    RFC 9112 chapters 4 and 5
 */
function parseHead(text: string, mostOctets: number): Head | undefined {
  const [statusLine = '', ...lines] = text.split('\r\n');
  const [, minor, code] = /^HTTP\/1\.([01]) ([2-5]\d\d)(?: [\t\x20-\x7e\x80-\xff]*)?$/.exec(statusLine) ?? [];
  if (minor === undefined) return undefined;
  const fields = new Map<string, string>();
  for (const line of lines) {
    const [, name, value = ''] =
      /^([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([^\r\n\0]*?)[ \t]*$/.exec(line) ?? [];
    if (name === undefined) return undefined;
    const key = name.toLowerCase();
    // Two lengths are an attack on whoever takes the other one (RFC 9112 section 6.3).
    if (key === 'content-length' && fields.has(key)) return undefined;
    fields.set(key, value);
  }
  const length = fields.get('content-length');
  if (fields.has('transfer-encoding') || length === undefined || !/^\d{1,9}$/.test(length)) return undefined;
  if (Number(length) > mostOctets) return undefined;
  const connection = (fields.get('connection') ?? '').toLowerCase().split(/[ \t]*,[ \t]*/);
  const keepsOpen = minor === '1' ? !connection.includes('close') : connection.includes('keep-alive');
  return { status: Number(code), length: Number(length), keepsOpen };
}
