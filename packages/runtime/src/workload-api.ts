/**
 * Client of the SPIFFE Workload API (SPIFFE_Workload_API sections 4 and 5): one stream over a local socket, on which
 * the agent of the machine hands out X.509-SVIDs and every rotation of them.
 *
 *   service SpiffeWorkloadAPI { rpc FetchX509SVID(X509SVIDRequest) returns (stream X509SVIDResponse); }
 *   message X509SVIDResponse { repeated X509SVID svids = 1; … }
 *   message X509SVID { string spiffe_id = 1; bytes x509_svid = 2; bytes x509_svid_key = 3; bytes bundle = 4; … }
 *
 * Certificates are DER, one after the other; the key is PKCS #8.
 */
import { BinaryReader, WireType } from '@bufbuild/protobuf/wire';
import { Client, type ClientReadableStream, Metadata, credentials } from '@grpc/grpc-js';
import { DerReader, toPem } from '@mecai/pki';
import { RuntimeError } from './error.ts';
import type { SvidMaterial, SvidSource } from './svid.ts';

const method = '/SpiffeWorkloadAPI/FetchX509SVID';
/** After a stream was lost, milliseconds; the agent restarts now and then. */
const againAfterMs = 1_000;

export class WorkloadApi implements SvidSource {
  readonly #socket: string;

  /** @param socket `unix:///run/spire/agent.sock` */
  constructor(socket: string) {
    this.#socket = socket;
  }

  watch(take: (material: SvidMaterial) => void, trouble: (error: unknown) => void): () => void {
    const client = new Client(this.#socket, credentials.createInsecure(), {
      'grpc.max_reconnect_backoff_ms': 2_000,
      'grpc.default_authority': 'localhost',
    });
    let stream: ClientReadableStream<SvidMaterial> | undefined;
    let again: NodeJS.Timeout | undefined;
    let closed = false;
    const open = () => {
      const metadata = new Metadata();
      // Without it the agent refuses: a browser that was tricked into asking cannot send it.
      metadata.set('workload.spiffe.io', 'true');
      const own = client.makeServerStreamRequest(method, () => Buffer.alloc(0), readResponse, {}, metadata);
      stream = own;
      own.on('data', (material: SvidMaterial) => {
        try {
          take(material);
        } catch (error) {
          trouble(error);
        }
      });
      const lost = (error?: Error) => {
        if (stream !== own || closed) return;
        stream = undefined;
        trouble(error ?? new RuntimeError('unreadable-file', 'Workload API: the stream ended'));
        again = setTimeout(open, againAfterMs);
      };
      own.on('error', lost);
      own.on('end', () => lost());
    };
    open();
    return () => {
      closed = true;
      clearTimeout(again);
      stream?.cancel();
      client.close();
    };
  }
}

/** The first SVID is the default identity (section 5.2.1). What cannot be read ends the stream. */
function readResponse(bytes: Buffer): SvidMaterial {
  const [first] = fields(bytes, 1);
  if (!first) throw new TypeError('Workload API: no SVID');
  const [svid, key, bundle] = [2, 3, 4].map((number) => fields(first, number)[0]);
  if (!svid || !key || !bundle)
    throw new TypeError('Workload API: an SVID without certificate, key or bundle');
  return {
    certificate: certificates(svid),
    key: Buffer.from(toPem(key, 'PRIVATE KEY')),
    ca: certificates(bundle),
  };
}

/** The length-delimited fields of that number. */
function fields(message: Uint8Array, wanted: number): Uint8Array[] {
  const reader = new BinaryReader(message);
  const found: Uint8Array[] = [];
  while (reader.pos < reader.len) {
    const [number, wireType] = reader.tag();
    if (number === wanted && wireType === WireType.LengthDelimited) found.push(reader.bytes());
    else reader.skip(wireType, number);
  }
  return found;
}

function certificates(der: Uint8Array): Buffer {
  const reader = new DerReader(der);
  const pem: string[] = [];
  while (!reader.atEnd) pem.push(toPem(reader.raw(), 'CERTIFICATE'));
  return Buffer.from(pem.join(''));
}
