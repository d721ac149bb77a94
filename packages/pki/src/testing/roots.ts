/** Three roots and servers below them, for tests of root lists. */
import { createTrustStore, type ImportedContext, indexCertificates } from '../index.ts';
import { authority, type Issued, now, server } from './issue.ts';

export const first = authority('First root');
export const second = authority('Second root');
export const third = authority('Third root');
export const index = indexCertificates([first, second, third].map(({ certificate }) => certificate));

export const leafOf = (root: Issued, notBefore?: Date): Issued =>
  server('www.example.com', root, notBefore ? { notBefore } : {});

export const issuedAt = leafOf(first).certificate.notBefore;
export const secondLater = new Date(issuedAt.getTime() + 1_000);

export const trusted = ({ context }: ImportedContext, leaf: Issued): boolean =>
  createTrustStore([context]).evaluate({ chain: [leaf.der], name: { dns: 'www.example.com' }, now })
    .contexts[0]!.trusted;
