/** A NATS cluster of three nodes and a leaf node for each region, configured by the templates that Terraform uses. */
import { randomBytes } from 'node:crypto';
import { chmodSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { natsPermissions } from '@mecai/proto';
import { keyPem, pem, svid, type Workshop } from '../network/index.ts';
import { natsServerSyncs } from '../parts/nats-server.ts';
import type { Fabric } from './fabric.ts';
import { type Part, natsPart } from './part.ts';

const templates = join(import.meta.dirname, '../../../infra/terraform/modules/nats-config');

export interface NatsLayout {
  readonly nodes: readonly Part[];
  /** By region. */
  readonly leaves: ReadonlyMap<string, Part>;
  /** URLs of the nodes. */
  readonly servers: readonly string[];
  /** URL of a region's leaf node. */
  leafServer(region: string): string;
}

/** All of `${…}` that these templates have: names of values, and `jsonencode` of them. */
const render = (file: string, values: Readonly<Record<string, string | number>>): string =>
  readFileSync(join(templates, file), 'utf8').replace(
    /\$\{(?:jsonencode\((\w+)\)|(\w+))\}/g,
    (_, encoded: string | undefined, plain: string) =>
      encoded === undefined ? String(values[plain]) : JSON.stringify(values[encoded]),
  );

/**
 * @param workshop with all users of NATS
 * @param regions names of the agents in each
 */
export async function startNats(
  workshop: Workshop,
  fabric: Fabric,
  regions: ReadonlyMap<string, readonly string[]>,
): Promise<NatsLayout> {
  const leaves = Array.from(regions, ([region, agents]) => ({
    region,
    name: `leaf-${region}`,
    place: fabric.place(`leaf-${region}`),
    password: randomBytes(16).toString('hex'),
    permissions: natsPermissions.leaf(agents),
  }));
  const nodes = [1, 2, 3].map((i) => ({ name: `nats-${i}`, place: fabric.place(`nats-${i}`) }));
  const rule = ({ publish, subscribe }: { publish: readonly string[]; subscribe: readonly string[] }) => ({
    publish,
    subscribe,
  });
  const people = workshop.users.map((user) => ({ nkey: user.publicNkey, permissions: rule(user) }));
  const users = (more: readonly object[]) =>
    `authorization: ${JSON.stringify({ users: [...people, ...more] })}\n`;
  // As `mecai-admin agents nats-users` writes it.
  const nobody = {
    user: 'nobody',
    password: 'none',
    allowed_connection_types: ['LEAFNODE'],
    permissions: { publish: { deny: '>' }, subscribe: { deny: '>' } },
  };
  const between = leaves.map(({ name, password, permissions }) => ({
    user: name,
    password,
    permissions: rule(permissions),
  }));

  const prepare = (name: string, address: string, more: readonly object[]) => {
    const at = `nats/${name}`;
    mkdirSync(workshop.at(at), { recursive: true });
    // Clients of @nats-io take a server without a name for localhost; routes are held against names only.
    const names = { ip: [address], dns: ['localhost', address] };
    const certificate = svid(workshop.internalCa, `spiffe://mecai.test/${name}`, names);
    const tls = {
      cert_file: workshop.write(`${at}/tls.pem`, pem(certificate)),
      key_file: workshop.write(`${at}/tls.key`, keyPem(certificate), 0o600),
      ca_file: workshop.write(`${at}/ca.pem`, pem(workshop.internalCa)),
    };
    workshop.write(`${at}/users.conf`, users(more), 0o600);
    const common = { name, host: address, monitor: `${address}:8222`, tls: JSON.stringify(tls) };
    return {
      at,
      common,
      mutual: JSON.stringify({ ...tls, verify: true }),
      known: JSON.stringify({ ...tls, verify_cert_and_check_known_urls: true }),
    };
  };
  const start = (kind: 'nats' | 'leaf', name: string, at: string, text: string, place: Part['place']) =>
    natsPart({
      name,
      kind,
      place,
      config: workshop.write(`${at}/mecai.conf`, text),
      logFile: workshop.at('logs', `${name}.log`),
    });
  chmodSync(workshop.at('nats'), 0o700);

  const startedNodes = await Promise.all(
    nodes.map(({ name, place }) => {
      const { at, common, mutual, known } = prepare(name, place.address, [...between, nobody]);
      const routes = nodes.map((one) => `tls://${one.place.address}:6222`);
      const text = render('node.conf.tftpl', {
        ...common,
        mutual,
        known,
        store: workshop.at(at, 'store'),
        routes: JSON.stringify(routes),
        max_file_store: 2 ** 34,
      });
      // An older one would not start.
      const taken = natsServerSyncs() ? text : text.replace(/^ *sync_interval: .*\n/m, '');
      return start('nats', name, at, taken, place);
    }),
  );
  const startedLeaves = await Promise.all(
    leaves.map(async ({ region, name, password, place }) => {
      const { at, common } = prepare(name, place.address, []);
      const urls = nodes.map((one) => `tls://${name}:${password}@${one.place.address}:7422`);
      workshop.write(`${at}/leaf.conf`, `urls: ${JSON.stringify(urls)}\n`, 0o600);
      return [region, await start('leaf', name, at, render('leaf.conf.tftpl', common), place)] as const;
    }),
  );
  const byRegion = new Map(startedLeaves);
  const url = ({ place }: Part) => `tls://${place.address}:4222`;
  return {
    nodes: startedNodes,
    leaves: byRegion,
    servers: startedNodes.map(url),
    leafServer: (region) => url(byRegion.get(region)!),
  };
}
