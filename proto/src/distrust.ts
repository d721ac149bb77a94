/** Distrust between its message and the rule in packages/pki. */
import type { DistrustEntry, DistrustSubject } from '@mecai/pki';
import type { Distrust } from '../gen/mecai/v1/signer.ts';

export function distrustMessage({ subject, tci = '', from, issuedAfter }: DistrustEntry): Distrust {
  return {
    subject: subjectMessage(subject),
    trustContext: tci,
    from: from?.getTime() ?? 0,
    issuedAfter: issuedAfter?.getTime() ?? 0,
  };
}

/** @returns undefined for a message without a subject */
export function distrustEntry(id: string, message: Distrust | undefined): DistrustEntry | undefined {
  if (!message?.subject) return undefined;
  const { subject, trustContext: tci, from, issuedAfter } = message;
  return {
    id,
    subject: subjectOf(subject),
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

function subjectMessage(subject: DistrustSubject): NonNullable<Distrust['subject']> {
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

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');
