import { status } from '@grpc/grpc-js';
import { expect, it } from 'vitest';
import { Directories } from './directories.ts';
import { CoordinatorError } from './error.ts';
import type { Exchange } from './http-routes.ts';

function world() {
  const asked: number[] = [];
  const signer = { latest: 2, away: false };
  let now = 0;
  const ask = (version: number) => {
    asked.push(version);
    if (signer.away) return Promise.reject(new CoordinatorError('signer-unavailable', 'away'));
    if (version > signer.latest || version < 0)
      return Promise.reject(Object.assign(new Error('none'), { code: status.NOT_FOUND }));
    return Promise.resolve(Buffer.from(`version ${version || signer.latest}`));
  };
  const directories = new Directories(ask, () => now);
  const get = async (version?: string) => {
    const route = directories.routes[version === undefined ? 0 : 1]!;
    const parameters = version === undefined ? {} : { version };
    const answer = await route.handle({ parameters } as Partial<Exchange> as Exchange);
    return 'body' in answer ? `${answer.type}: ${Buffer.from(answer.body).toString()}` : answer.status;
  };
  return { asked, signer, directories, get, pass: (ms: number) => void (now += ms) };
}

it('hands on what the signer signed, the latest and each version', async () => {
  const { get } = world();
  expect(await get()).toBe('application/jose: version 2');
  expect(await get('1')).toBe('application/jose: version 1');
  for (const none of ['3', '0', '01', '-1', 'x', '1e3', '9999999999']) expect(await get(none)).toBe(404);
});

it('asks for a version once, for the latest every ten seconds, and for all anew with a new signer', async () => {
  const { get, asked, directories, pass } = world();
  for (let i = 0; i < 3; i++) {
    await get();
    await get('1');
  }
  expect(asked).toEqual([0, 1]);
  pass(10_000);
  await get();
  await get('1');
  expect(asked).toEqual([0, 1, 0]);
  directories.forget();
  await get('1');
  expect(asked).toEqual([0, 1, 0, 1]);
});

it('remembers neither an outage nor that a version is still to come', async () => {
  const { get, signer } = world();
  signer.away = true;
  await expect(get('1')).rejects.toMatchObject({ code: 'signer-unavailable' });
  expect(await world().get('3')).toBe(404);
  signer.away = false;
  expect(await get('1')).toBe('application/jose: version 1');
  expect(await get('3')).toBe(404);
  signer.latest = 3;
  expect(await get('3')).toBe('application/jose: version 3');
});
