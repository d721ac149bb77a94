/** Commands of the VA's operator. */
import { type ServerUnaryCall, type sendUnaryData, status } from '@grpc/grpc-js';
import { type DistrustEntry, type DistrustSubject, PkiError } from '@mecai/pki';
import type {
  Distrust,
  DistrustRecord,
  LiftDistrustRequest,
  LiftDistrustResponse,
  ListDistrustRequest,
  ListDistrustResponse,
  OperatorServiceServer,
  SetDistrustRequest,
  SetDistrustResponse,
} from '@mecai/proto/signer';
import type { Logger } from '@mecai/runtime';
import type { AuditRecord } from './audit-log.ts';
import { hex } from './digest.ts';
import type { DistrustList, ListedDistrust } from './distrust-list.ts';
import { SignerError } from './error.ts';

export interface OperatorParts {
  readonly distrust: DistrustList;
  /** Trust contexts that an entry may name. */
  readonly trustContexts: readonly string[];
  readonly audit: (record: AuditRecord) => Promise<unknown>;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  readonly random: (octets: number) => Uint8Array;
}

/** @param operator the caller's SPIFFE ID, or undefined for whoever may not command */
export function operatorService(
  { distrust, trustContexts, audit, now, random }: OperatorParts,
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
      answer(call, respond, async ({ distrust: wanted, reason, author }, identity) => {
        const entry = entryOf(wanted, hex(random(6)), trustContexts);
        const listed = await distrust.set(entry, { at: now(), reason, author, identity }, audit);
        log.warn({ operator: identity, author, reason, id: entry.id }, 'distrust set');
        return { record: messageOf(listed) };
      });
    },
    liftDistrust(
      call: ServerUnaryCall<LiftDistrustRequest, LiftDistrustResponse>,
      respond: sendUnaryData<LiftDistrustResponse>,
    ) {
      answer(call, respond, async ({ id, reason, author }, identity) => {
        const listed = await distrust.lift(id, { at: now(), reason, author, identity }, audit);
        log.warn({ operator: identity, author, reason, id }, 'distrust lifted');
        return { record: messageOf(listed) };
      });
    },
    listDistrust(
      call: ServerUnaryCall<ListDistrustRequest, ListDistrustResponse>,
      respond: sendUnaryData<ListDistrustResponse>,
    ) {
      answer(call, respond, ({ lifted }) => ({ records: distrust.list(lifted).map(messageOf) }));
    },
  };
}

function entryOf(wanted: Distrust | undefined, id: string, known: readonly string[]): DistrustEntry {
  if (!wanted?.subject) throw new SignerError('wrong-usage', 'what is to be distrusted?');
  const { trustContext: tci, from, issuedAfter } = wanted;
  if (tci !== '' && !known.includes(tci)) {
    throw new SignerError('wrong-usage', `no trust context ${tci}; there are ${known.join(', ')}`);
  }
  return {
    id,
    subject: subjectOf(wanted.subject),
    ...(tci !== '' && { tci }),
    ...(from > 0 && { from: new Date(from) }),
    ...(issuedAfter > 0 && { issuedAfter: new Date(issuedAfter) }),
  };
}

function subjectOf(subject: NonNullable<Distrust['subject']>): DistrustSubject {
  switch (subject.$case) {
    case 'certificate':
      return { kind: 'certificate', sha256: hex(subject.certificate) };
    case 'spki':
      return { kind: 'spki', sha256: hex(subject.spki) };
    case 'issuer':
      return { kind: 'issuer', name: Uint8Array.from(subject.issuer) };
    case 'operator':
      return { kind: 'operator', organization: subject.operator };
    default:
      return subject satisfies never;
  }
}

function messageOf({ entry, set, lifted }: ListedDistrust): DistrustRecord {
  const { id, subject, tci = '', from, issuedAfter } = entry;
  return {
    id,
    distrust: {
      subject: messageSubject(subject),
      trustContext: tci,
      from: from?.getTime() ?? 0,
      issuedAfter: issuedAfter?.getTime() ?? 0,
    },
    set,
    lifted,
  };
}

function messageSubject(subject: DistrustSubject): NonNullable<Distrust['subject']> {
  switch (subject.kind) {
    case 'certificate':
      return { $case: 'certificate', certificate: Buffer.from(subject.sha256, 'hex') };
    case 'spki':
      return { $case: 'spki', spki: Buffer.from(subject.sha256, 'hex') };
    case 'issuer':
      return { $case: 'issuer', issuer: subject.name };
    case 'operator':
      return { $case: 'operator', operator: subject.organization };
    default:
      return subject satisfies never;
  }
}
