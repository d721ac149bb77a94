/** What others have signed about a certificate, so that its hold may end early. */
import type { Statements } from '@mecai/database';

export interface Endorsement {
  /** Of a certificate; for the approval of a CSR, of its SubjectPublicKeyInfo. */
  readonly sha256: Uint8Array;
  /** `approval`: ours, after an approval out of band; `expedite`: another VA's. */
  readonly kind: 'approval' | 'expedite';
  /** Who signed it; each counts once. */
  readonly authority: string;
  /** Milliseconds since 1970. */
  readonly at: number;
  readonly statement: Uint8Array;
}

/** Takes effect with the next request. The first of an authority stands. */
export async function endorse(
  statements: Statements,
  { sha256, kind, authority, at, statement }: Endorsement,
): Promise<void> {
  await statements.query(
    `insert into endorsement (sha256, authority, kind, received_at, statement) values ($1, $2, $3, $4, $5)
     on conflict (sha256, authority, kind) do nothing`,
    [sha256, authority, kind, at, statement],
  );
}
