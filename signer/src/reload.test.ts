/** A signer process that is told to read its configuration again. */
import { readFileSync, writeFileSync } from 'node:fs';
import { expect, it, vi } from 'vitest';
import { parseSignedVoucher, VoucherVerifier } from '@mecai/voucher';
import { runCommand } from './ceremony.ts';
import { pem } from './testing/certificates.ts';
import { type TestCoordinator, nameOf } from './testing/client.ts';
import { processBed } from './testing/process-bed.ts';
import { coordinator, webRoot } from './testing/world.ts';

const bed = processBed();
// Processes start slowly on a machine with other work.
vi.setConfig({ testTimeout: 90_000 });

/** A signer, and what it says of each reload. */
async function serve(changes: object = {}) {
  const config = bed.files.configure(changes);
  const signer = await bed.serve({ config });
  let log = '';
  signer.child.stdout!.on('data', (chunk: Buffer) => (log += chunk.toString()));
  return {
    signer,
    config,
    /** The line that says what came of it. */
    reload: async (next: object | string): Promise<{ msg: string; changed?: string[] }> => {
      log = '';
      if (typeof next === 'string') writeFileSync(config, next);
      else writeFileSync(config, readFileSync(bed.files.configure(next)));
      signer.child.kill('SIGHUP');
      return vi.waitFor(
        () => {
          const line = log.split('\n').find((one) => one.includes('reloaded'));
          if (line === undefined) throw new Error('not told yet');
          return JSON.parse(line) as { msg: string };
        },
        { timeout: 60_000 },
      );
    },
  };
}
const signedBy = (voucher: Uint8Array) => Buffer.from(parseSignedVoucher(voucher).vaCertificate);
async function voucher(client: TestCoordinator): Promise<Uint8Array> {
  const drawn = await client.draw();
  if (typeof drawn === 'string') throw new Error(drawn);
  const step = await client.prove(drawn, 4);
  if (step.$case !== 'issued') throw new Error(nameOf(step));
  return step.issued.voucher;
}

it('who may ask changes at once: a coordinator that is taken out is cut off, the others go on', async () => {
  const other = 'spiffe://mecai.test/coordinator-2';
  const { signer, reload } = await serve({ coordinators: [coordinator, other] });
  const [captured, good] = [bed.ask(signer), bed.ask(signer, other)];
  expect([await captured.voucher(), await good.voucher()]).toEqual(['issued', 'issued']);
  expect(await reload({ coordinators: [other] })).toMatchObject({
    msg: 'configuration reloaded',
    changed: ['coordinators'],
  });
  await expect(captured.voucher()).rejects.toThrow(/PERMISSION_DENIED/);
  await expect(bed.ask(signer).voucher()).rejects.toThrow(/PERMISSION_DENIED/);
  expect(await good.voucher()).toBe('issued');
});

it('limits, tolerances and trust contexts change at once', async () => {
  const { signer, reload } = await serve();
  const client = bed.ask(signer);
  expect(await client.voucher()).toBe('issued');
  const trustContexts = bed.files.contexts('two', { MOZ: pem(webRoot), APPLE: pem(webRoot) });
  const changes = { trustContexts, voucherLifetimeSeconds: 600, draws: { perEndpoint: 1 } };
  expect((await reload(changes)).changed?.toSorted()).toEqual([
    'draws.perEndpoint',
    'trustContexts',
    'voucherLifetimeSeconds',
  ]);
  const { trustContexts: named, producedAt, notAfter } = parseSignedVoucher(await voucher(client)).voucher;
  expect(named).toEqual(['APPLE', 'MOZ']);
  expect(notAfter.getTime() - producedAt.getTime()).toBe(600_000);
  expect(typeof (await client.draw())).toBe('object');
  expect(await client.draw()).toBe('draw-limit');
  // The same directory again, with another list in it: nothing in the configuration changed.
  bed.files.write('two/MOZ/roots.pem', pem(bed.files.vaRoot));
  expect(await reload(changes)).toMatchObject({ msg: 'configuration reloaded', changed: [] });
  const contexts = (await client.describe()).trustContexts;
  expect(contexts).toEqual(['APPLE', 'MOZ']);
});

it.each<[string, () => object | string, RegExp]>([
  ['no JSON', () => '{', /not reloaded: .*signer-\d+\.json: /],
  ['a wrong type', () => ({ draws: { ttlMs: 'long' } }), /draws\.ttlMs: .*expected number.*, in line 1$/],
  [
    'another audit log',
    () => ({ auditLog: bed.files.at('b.jsonl') }),
    /cannot change while it runs: auditLog; /,
  ],
  ['a certificate of another key', () => ({ vaCertificate: bed.files.at('va-root.pem') }), /^not reloaded$/],
  ['a key that is not there', () => ({ hsm: { ...hsmOf('none') } }), /^not reloaded$/],
  ['trust contexts that are not there', () => ({ trustContexts: bed.files.at('none') }), /^not reloaded$/],
])('%s is refused, and it goes on as before', async (_, next, message) => {
  const { signer, reload } = await serve();
  const client = bed.ask(signer);
  expect((await reload(next())).msg).toMatch(message);
  expect(await client.voucher()).toBe('issued');
  expect(await reload({})).toMatchObject({ msg: 'configuration reloaded', changed: [] });
});

const hsmOf = (key: string) => ({
  module: bed.files.soft.module,
  token: 'test',
  key,
  pinFile: bed.files.at('pin'),
});

it('another VA key takes over without a restart; the old one’s vouchers stay good, and then it is destroyed', async () => {
  const nextVa = { key: 'va-2', certificate: bed.files.at('va-2.pem') };
  const withNext = bed.files.configure({ nextVa });
  const must = (...args: string[]) => {
    const { code, out, err } = bed.files.run(...args);
    if (code !== 0) throw new Error(err);
    return out;
  };
  const { signer, reload } = await serve({ auditLog: bed.files.at('rollover.jsonl') });
  const auditLog = bed.files.at('rollover.jsonl');
  const client = bed.ask(signer);
  const old = await voucher(client);

  expect(must('keygen', '--next', '--config', withNext)).toContain('P-256 key va-2 generated');
  const csr = must('csr', '--next', '--config', withNext, '--subject', 'CN=Test VA 2');
  const chain = bed.files.write(
    'va-2-signed.pem',
    pem(bed.files.certify(csr, { serial: 78 }), bed.files.vaIntermediate),
  );
  must('install-certificate', '--next', '--config', withNext, '--certificate', chain);
  expect(
    must('self-test', '--config', bed.files.configure({ nextVa, auditLog: bed.files.at('none.jsonl') })),
  ).toContain('next VA certificate: good until');

  // Known before it signs: what coordinators bring evidence about.
  expect((await client.describe()).links).toHaveLength(2);
  expect((await reload({ auditLog, nextVa })).changed).toEqual(['nextVa']);
  const { links, certificates } = await client.describe();
  expect(links).toHaveLength(4);
  expect(signedBy(await voucher(client))).toEqual(certificates[0]);
  expect(signedBy(old)).toEqual(certificates[0]);
  expect(links[2]!.certificate).not.toEqual(certificates[0]);

  const switched = { auditLog, hsm: hsmOf('va-2'), vaCertificate: nextVa.certificate };
  // A draw from before the switch gets its voucher, with the new key.
  const drawn = await client.draw();
  expect((await reload(switched)).changed?.toSorted()).toEqual(['hsm.key', 'nextVa', 'vaCertificate']);
  const step = await client.prove(typeof drawn === 'string' ? expect.fail(drawn) : drawn, 4);
  if (step.$case !== 'issued') throw new Error(nameOf(step));
  const fresh = step.issued.voucher;
  expect(signedBy(fresh)).toEqual(links[2]!.certificate);
  expect((await client.describe()).certificates[0]).toEqual(links[2]!.certificate);
  // Both are good for a client that knows the root.
  const verifier = new VoucherVerifier({ roots: [bed.files.vaRoot.der] });
  for (const one of [old, fresh]) expect(() => verifier.verify(one, new Date())).not.toThrow();

  const uses = readFileSync(auditLog, 'utf8')
    .split('\n')
    .filter((line) => line.includes('"va-in-use"'));
  expect(uses.map((line) => (JSON.parse(line) as { key: string }).key)).toEqual(['va', 'va-2']);

  const destroy = (config: object, key: string) =>
    bed.files.run('destroy-key', '--config', bed.files.configure({ ...switched, ...config }), '--key', key);
  expect(destroy({}, 'va-2')).toMatchObject({
    code: 2,
    err: expect.stringContaining('in the configuration'),
  });
  expect(destroy({}, 'va')).toMatchObject({ code: 2, err: expect.stringMatching(/may be good until/) });
  await signer.stop();
  // Two days later, and in this process, which has a clock to be set.
  Object.assign(process.env, bed.files.soft.environment);
  const told = vi.spyOn(console, 'log').mockImplementation(() => undefined);
  const args = ['--config', bed.files.configure(switched), '--key', 'va'];
  const inTwoDays = () => new Date(Date.now() + 2 * 86_400_000);
  expect(await runCommand('destroy-key', args, {}, inTwoDays)).toBe(0);
  expect(told.mock.calls[0]).toEqual(['key va of token test destroyed']);
  told.mockRestore();
  expect(
    bed.files.run('csr', '--config', bed.files.configure({ auditLog }), '--subject', 'CN=x').err,
  ).toMatch(/no key labelled va$/m);
  const { signer: again } = await serve(switched);
  expect(await bed.ask(again).voucher()).toBe('issued');
}, 120_000);
