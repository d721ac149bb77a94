/** One of several coordinators that see the same certificates at once: prints how each of 40 requests ended. */
import { type DatabaseConfig, migrate, openDatabase } from '@mecai/database';
import { CertificateLog } from '../log/certificate-log.ts';
import { sha256 } from '../log/certificate-facts.ts';
import { logMigrations } from '../log/schema.ts';
import { noticeMigrations } from '../notice/schema.ts';
import { noWaivers, sightOf, start } from './certificate-log.ts';
import { webIntermediate } from './chains.ts';

const given: { config: DatabaseConfig; leaves: string[] } = JSON.parse(process.argv[2]!);
const database = await openDatabase(given.config, Math.random);
await migrate(database, 'log', logMigrations, start);
await migrate(database, 'notice', noticeMigrations, start);
const certificates = new CertificateLog({
  database: () => database,
  policy: noWaivers,
  ctLogs: new Map(),
  lastSeen: { add: () => undefined },
  noticeOfRenewals: false,
  now: () => start,
});
const leaves = given.leaves.map((base64) => Uint8Array.from(Buffer.from(base64, 'base64')));
const ends = await Promise.all(
  Array.from({ length: 40 }, async (_, i) => {
    const der = leaves[i % leaves.length]!;
    const id = sha256(der);
    const leaf = { ...webIntermediate, der };
    return (await certificates.admit(sightOf(leaf), id, await certificates.standing(id))).state;
  }),
);
await database.close();
process.stdout.write(JSON.stringify(ends));
