/** Entries of a distrust list, for people and as JSON. */
import { nameText } from '@mecai/pki';
import type { Distrust, DistrustAct, DistrustRecord } from '@mecai/proto/signer';

/** As one JSON object: hashes in hex, times in ISO 8601. */
export function plain({ id, distrust, set, lifted }: DistrustRecord): Record<string, unknown> {
  const shown = (done: DistrustAct) => ({ ...done, at: iso(done.at) });
  return {
    id,
    ...shownDistrust(distrust),
    ...(set && { set: shown(set) }),
    ...(lifted && { lifted: shown(lifted) }),
  };
}

function shownDistrust(distrust: Distrust | undefined): Record<string, string> {
  const { subject, trustContext = '', from = 0, issuedAfter = 0 } = distrust ?? {};
  return {
    ...shownSubject(subject),
    ...(trustContext !== '' && { trustContext }),
    ...(from > 0 && { from: iso(from) }),
    ...(issuedAfter > 0 && { issuedAfter: iso(issuedAfter) }),
  };
}

function shownSubject(subject: Distrust['subject']): Record<string, string> {
  switch (subject?.$case) {
    case 'certificate':
      return { certificate: hex(subject.certificate) };
    case 'spki':
      return { spki: hex(subject.spki) };
    case 'issuer':
      return { issuer: nameText(subject.issuer) };
    case 'operator':
      return { operator: subject.operator };
    case undefined:
      return {};
    default:
      return subject satisfies never;
  }
}

export function words(record: DistrustRecord): string {
  const { id, distrust } = record;
  const what = shownDistrust(distrust);
  const told = (verb: string, done: DistrustAct | undefined) =>
    done ? [`    ${verb} ${iso(done.at)} by ${done.author} (${done.identity}): ${done.reason}`] : [];
  const about = Object.entries(what).map(([name, value]) => `${name} ${value}`);
  const head = `${id}  ${about.join(', ')}`;
  return [head, ...told('set', record.set), ...told('lifted', record.lifted)].join('\n');
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const iso = (milliseconds: number) => new Date(milliseconds).toISOString();
