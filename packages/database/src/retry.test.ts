import { expect, it } from 'vitest';
import { whileBusy } from './retry.ts';

it('gives up when others keep getting in the way', async () => {
  let tries = 0;
  const attempt = () => {
    tries++;
    throw new Error('taken');
  };
  await expect(
    whileBusy(
      attempt,
      () => true,
      () => 0,
      20,
    ),
  ).rejects.toMatchObject({ code: 'busy' });
  expect(tries).toBeGreaterThan(2);
});

it('does not try again what failed for another reason', async () => {
  let tries = 0;
  const attempt = () => {
    tries++;
    throw new Error('wrong');
  };
  await expect(
    whileBusy(
      attempt,
      () => false,
      () => 0,
    ),
  ).rejects.toThrow('wrong');
  expect(tries).toBe(1);
});
