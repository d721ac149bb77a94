/**
 * The parts of a network without anything of ours: what one voucher sends goes through node:https, @grpc/grpc-js and
 * NATS, as many octets and as many messages, and nobody looks at them. `node bare-parts.ts <role> <Plan as JSON>`.
 */
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import {
  Client,
  type MethodDefinition,
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  credentials,
} from '@grpc/grpc-js';
import { jetstream } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';

export interface Plan {
  readonly nats: string;
  /** PEM files; both ends are `localhost`. */
  readonly tls: { readonly certificate: string; readonly key: string; readonly ca: string };
  readonly perspectives: number;
  /** Address of the signer, for the coordinator. */
  readonly signer?: string;
  /** Octets of each message. */
  readonly octets: {
    readonly draw: number;
    readonly drawn: number;
    readonly task: number;
    readonly observation: number;
    readonly evidence: number;
    readonly issued: number;
    readonly record: number;
    readonly answer: number;
  };
}

const asIs = (bytes: Buffer) => bytes;
const method: MethodDefinition<Buffer, Buffer> = {
  path: '/bare/Issue',
  requestStream: true,
  responseStream: true,
  requestSerialize: asIs,
  requestDeserialize: asIs,
  responseSerialize: asIs,
  responseDeserialize: asIs,
};

/** Answers a draw, which is shorter than evidence, and evidence. The first four octets say whose it is. */
async function startSigner({ tls, octets }: Plan): Promise<string> {
  const server = new Server();
  server.addService(
    { issue: method },
    {
      issue(call: ServerDuplexStream<Buffer, Buffer>) {
        call.on('data', (request: Buffer) =>
          call.write(marked(request.length === octets.draw ? octets.drawn : octets.issued, request)),
        );
        call.on('end', () => call.end());
      },
    },
  );
  const pem = filesOf(tls);
  const pair = { private_key: pem.key, cert_chain: pem.certificate };
  const port = await new Promise<number>((resolve, reject) =>
    server.bindAsync('127.0.0.1:0', ServerCredentials.createSsl(pem.ca, [pair], true), (error, bound) =>
      error ? reject(error) : resolve(bound),
    ),
  );
  return `127.0.0.1:${port}`;
}

async function startAgents({ nats: url, perspectives, octets }: Plan): Promise<string> {
  for (let i = 0; i < perspectives; i++) {
    const nats = await connect({ servers: url });
    nats.subscribe(`task.${i}`, {
      callback: (_error, { data }) => nats.publish(`observation.${i}`, marked(octets.observation, data)),
    });
    await nats.flush();
  }
  return '';
}

/** One POST: a draw, tasks for all, their observations, evidence, the record, the answer. */
async function startCoordinator({ nats: url, tls, perspectives, signer, octets }: Plan): Promise<string> {
  const pem = filesOf(tls);
  const client = new Client(signer!, credentials.createSsl(pem.ca, pem.key, pem.certificate), {
    'grpc.ssl_target_name_override': 'localhost',
  });
  const stream = client.makeBidiStreamRequest(
    method.path,
    method.requestSerialize,
    method.responseDeserialize,
  );
  const nats = await connect({ servers: url, noAsyncTraces: true });
  const records = jetstream(nats);
  /** By request; called with each answer of the signer, and of the agents. */
  const waiting = new Map<number, { signer?: () => void; agent?: () => void }>();
  stream.on('data', (answer: Buffer) => waiting.get(answer.readUInt32BE())!.signer?.());
  nats.subscribe('observation.*', {
    callback: (_error, { data }) => waiting.get(Buffer.from(data).readUInt32BE())?.agent?.(),
  });
  let requests = 0;

  async function serve(): Promise<Buffer> {
    const id = Buffer.alloc(4);
    const number = ++requests;
    id.writeUInt32BE(number);
    const heard: { signer?: () => void; agent?: () => void } = {};
    waiting.set(number, heard);
    const ask = (bytes: number) =>
      new Promise<void>((resolve) => {
        heard.signer = resolve;
        stream.write(marked(bytes, id));
      });
    await ask(octets.draw);
    await new Promise<void>((resolve) => {
      let missing = perspectives;
      heard.agent = () => {
        if (--missing === 0) resolve();
      };
      for (let i = 0; i < perspectives; i++) nats.publish(`task.${i}`, marked(octets.task, id));
    });
    await ask(octets.evidence);
    await records.publish('record', marked(octets.record, id), { msgID: String(number) });
    waiting.delete(number);
    return marked(octets.answer, id);
  }

  const server = createServer({ cert: pem.certificate, key: pem.key }, (request, response) => {
    request.resume().on('end', () => {
      serve().then(
        (answer) => response.writeHead(200, { 'content-length': answer.length }).end(answer),
        (error: unknown) => response.destroy(error as Error),
      );
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return `https://localhost:${(server.address() as AddressInfo).port}/`;
}

const filesOf = ({ ca, key, certificate }: Plan['tls']) => ({
  ca: readFileSync(ca),
  key: readFileSync(key),
  certificate: readFileSync(certificate),
});

function marked(octets: number, id: Uint8Array): Buffer {
  const bytes = Buffer.alloc(octets);
  bytes.set(id.subarray(0, 4));
  return bytes;
}

const [role, text = ''] = process.argv.slice(2);
if (role === 'coordinator' || role === 'signer' || role === 'agents') {
  const plan = JSON.parse(text) as Plan;
  const started = { coordinator: startCoordinator, signer: startSigner, agents: startAgents }[role](plan);
  process.on('disconnect', () => process.exit(0));
  process.send?.({ at: await started });
}
