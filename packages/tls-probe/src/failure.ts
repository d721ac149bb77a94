import type { ErrorClass } from './prober.ts';

/** AlertDescription values this client sends (RFC 8446 section 6.2, RFC 5246 section 7.2.2). */
export const alerts = {
  closeNotify: 0,
  unexpectedMessage: 10,
  badRecordMac: 20,
  recordOverflow: 22,
  handshakeFailure: 40,
  badCertificate: 42,
  unsupportedCertificate: 43,
  illegalParameter: 47,
  decodeError: 50,
  decryptError: 51,
  protocolVersion: 70,
  insufficientSecurity: 71,
  internalError: 80,
  userCanceled: 90,
  missingExtension: 109,
  unsupportedExtension: 110,
} as const;

/** Why a probe ended without success. Thrown inside the package only; `probe` turns it into a result. */
export class ProbeFailure extends Error {
  override readonly name = 'ProbeFailure';
  readonly code: ErrorClass;
  /** The fatal alert owed to the server, absent where none may be sent (it sent one, or it speaks no TLS). */
  readonly owedAlert: number | undefined;
  /** The alert received, when `code` is `alert`. */
  readonly receivedAlert: number | undefined;

  constructor(
    code: ErrorClass,
    detail: string,
    options: { owedAlert?: number; receivedAlert?: number; cause?: unknown } = {},
  ) {
    super(detail, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.owedAlert = options.owedAlert;
    this.receivedAlert = options.receivedAlert;
  }
}

const violation = (owedAlert: number, detail: string, cause?: unknown) =>
  new ProbeFailure('protocol-error', detail, { owedAlert, cause });

/** The bytes do not follow the grammar. */
export const malformed = (detail: string) => violation(alerts.decodeError, detail);
/** A well-formed value that may not stand here. */
export const illegal = (detail: string, cause?: unknown) => violation(alerts.illegalParameter, detail, cause);
/** A message or record out of its turn. */
export const unexpected = (detail: string) => violation(alerts.unexpectedMessage, detail);
/** An answer to an extension that was not asked for. */
export const unsolicited = (detail: string) => violation(alerts.unsupportedExtension, detail);
export const recordOverflow = (detail: string) => violation(alerts.recordOverflow, detail);
export const missing = (detail: string) => violation(alerts.missingExtension, detail);
/** A limit of this client was hit; nothing is said of the server's correctness. */
export const tooLarge = (detail: string) =>
  new ProbeFailure('too-large', detail, { owedAlert: alerts.internalError });
export const badCertificate = (detail: string, cause?: unknown) =>
  new ProbeFailure('bad-certificate', detail, { owedAlert: alerts.badCertificate, cause });
export const badSignature = (detail: string, cause?: unknown) =>
  new ProbeFailure('bad-signature', detail, { owedAlert: alerts.decryptError, cause });
