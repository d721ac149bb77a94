/** Commands of the VA's operator. */
import { type ServerUnaryCall, type sendUnaryData, status } from '@grpc/grpc-js';
import { type DistrustEntry, PkiError } from '@mecai/pki';
import { distrustEntry } from '@mecai/proto/distrust';
import type {
  Distrust,
  GetRegistryRequest,
  GetRegistryResponse,
  LiftDistrustRequest,
  LiftDistrustResponse,
  ListDistrustRequest,
  ListDistrustResponse,
  OperatorServiceServer,
  SetDistrustRequest,
  SetDistrustResponse,
  UpdateRegistryRequest,
  UpdateRegistryResponse,
} from '@mecai/proto/signer';
import type { Logger } from '@mecai/runtime';
import type { AuditRecord } from './audit-log.ts';
import { hex } from './digest.ts';
import type { DistrustList } from './distrust-list.ts';
import { recordOf } from './distrust-watch.ts';
import { SignerError } from './error.ts';
import type { RegistryBook, UpdateParts } from './registry-book.ts';

export interface OperatorParts {
  readonly distrust: DistrustList;
  readonly registryBook: RegistryBook;
  readonly registryUpdate: UpdateParts;
  /** Trust contexts that an entry may name. */
  readonly trustContexts: () => readonly string[];
  readonly audit: (record: AuditRecord) => Promise<unknown>;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  readonly random: (octets: number) => Uint8Array;
}

/** @param operator the caller's SPIFFE ID, or undefined for whoever may not command */
export function operatorService(
  { distrust, registryBook, registryUpdate, trustContexts, audit, now, random }: OperatorParts,
  operator: (call: ServerUnaryCall<unknown, unknown>) => string | undefined,
  log: Logger,
): OperatorServiceServer {
  /** Answers what the action returns; what it throws becomes a status. */
  const answer = <Request, Response>(
    call: ServerUnaryCall<Request, Response>,
    respond: sendUnaryData<Response>,
    action: (request: Request, identity: string) => Response | Promise<Response>,
  ): void => {
    const identity = operator(call);
    if (identity === undefined) {
      respond({ code: status.PERMISSION_DENIED, details: 'this identity is no operator' });
      return;
    }
    const acted = (async () => action(call.request, identity))();
    acted.then(
      (response) => respond(null, response),
      (error: unknown) => {
        const misused =
          error instanceof PkiError || (error instanceof SignerError && error.code === 'wrong-usage');
        if (!misused) log.error({ err: error, operator: identity }, 'operator command failed');
        respond({
          code: misused ? status.INVALID_ARGUMENT : status.INTERNAL,
          details: error instanceof Error ? error.message : 'failed',
        });
      },
    );
  };
  return {
    setDistrust(
      call: ServerUnaryCall<SetDistrustRequest, SetDistrustResponse>,
      respond: sendUnaryData<SetDistrustResponse>,
    ) {
      answer(call, respond, async ({ distrust: wanted, id, reason, author }, identity) => {
        if (!/^([0-9a-f]{12})?$/.test(id)) throw new SignerError('wrong-usage', 'id: 12 hexadecimal digits');
        const entry = entryOf(wanted, id || hex(random(6)), trustContexts());
        const listed = await distrust.set(entry, { at: now(), reason, author, identity }, audit);
        log.warn({ operator: identity, author, reason, id: entry.id }, 'distrust set');
        return { record: recordOf(listed) };
      });
    },
    liftDistrust(
      call: ServerUnaryCall<LiftDistrustRequest, LiftDistrustResponse>,
      respond: sendUnaryData<LiftDistrustResponse>,
    ) {
      answer(call, respond, async ({ id, reason, author }, identity) => {
        const listed = await distrust.lift(id, { at: now(), reason, author, identity }, audit);
        log.warn({ operator: identity, author, reason, id }, 'distrust lifted');
        return { record: recordOf(listed) };
      });
    },
    listDistrust(
      call: ServerUnaryCall<ListDistrustRequest, ListDistrustResponse>,
      respond: sendUnaryData<ListDistrustResponse>,
    ) {
      answer(call, respond, ({ lifted }) => ({ records: distrust.list(lifted).map(recordOf) }));
    },
    updateRegistry(
      call: ServerUnaryCall<UpdateRegistryRequest, UpdateRegistryResponse>,
      respond: sendUnaryData<UpdateRegistryResponse>,
    ) {
      answer(call, respond, async (request, identity) => {
        const { reason, author } = request;
        const by = { at: now(), reason, author, identity };
        const warnings = await registryBook.update(request, by, registryUpdate);
        const { version } = registryBook.current;
        log.warn({ operator: identity, author, reason, version, warnings }, 'registry updated');
        return { version, warnings };
      });
    },
    getRegistry(
      call: ServerUnaryCall<GetRegistryRequest, GetRegistryResponse>,
      respond: sendUnaryData<GetRegistryResponse>,
    ) {
      answer(call, respond, () => ({ registry: Buffer.from(registryBook.inForce.registry) }));
    },
  };
}

function entryOf(message: Distrust | undefined, id: string, known: readonly string[]): DistrustEntry {
  const entry = distrustEntry(id, message);
  if (!entry) throw new SignerError('wrong-usage', 'what is to be distrusted?');
  const { tci } = entry;
  if (tci !== undefined && !known.includes(tci)) {
    throw new SignerError('wrong-usage', `no trust context ${tci}; there are ${known.join(', ')}`);
  }
  return entry;
}
