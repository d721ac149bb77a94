/**
 * What one coordinator works on, no other begins. A lease is short and renewed while the work goes on, so that what a
 * coordinator had begun when it was killed waits a minute for the next one, not as long as the work may take.
 */

/** @param renew puts the end of the lease `leaseMs` from now; a renewal that fails is made up for by the next */
export async function whileLeased<T>(
  leaseMs: number,
  renew: () => Promise<unknown>,
  work: () => Promise<T>,
): Promise<T> {
  const renewing = setInterval(() => void renew().catch(() => undefined), leaseMs / 4);
  try {
    return await work();
  } finally {
    clearInterval(renewing);
  }
}
