import type { AgentKeys, Workshop } from '../network/index.ts';
import type { Fabric, Place } from './fabric.ts';

export interface AgentsOptions {
  readonly workshop: Workshop;
  readonly fabric: Fabric;
  /** Those of a region in one process. */
  readonly together: boolean;
  /** NATS servers in the order in which the agents of a region try them. */
  readonly serversOf: (region: string) => readonly string[];
  /** Of `nats`, besides. */
  readonly bus: object;
  readonly geoip: object;
  /** Of each agent, besides. */
  readonly config: object;
  readonly run: (
    agents: readonly string[],
    name: string,
    place: Place,
    script: string,
    args: string[],
  ) => Promise<unknown>;
}

/** @returns where each agent's status page is */
export async function startAgents(
  regions: ReadonlyMap<string, readonly AgentKeys[]>,
  { workshop, fabric, together, serversOf, bus, geoip, config, run }: AgentsOptions,
): Promise<string[]> {
  const urls: string[] = [];
  const groups = Array.from(regions, ([region, members]) =>
    (together ? [members] : members.map((one) => [one])).map((group) => ({ region, group })),
  ).flat();
  await Promise.all(
    groups.map(async ({ region, group }) => {
      const alone = group.length === 1;
      const name = alone ? group[0]!.city.name : `agents-${region}`;
      const place = fabric.place(name);
      const files = group.map(({ city, keyFile, seedFile }, i) => {
        const { city: called, country, latitude, longitude, rir, asn } = city;
        const admin = `${place.address}:${9102 + i}`;
        urls.push(`http://${admin}`);
        return workshop.write(`${city.name}.json`, {
          name: city.name,
          admin,
          nats: { ...bus, servers: serversOf(region), seedFile },
          keyFile,
          location: { city: called, country, latitude, longitude, rir, asn },
          geoip: { publicAddress: city.address, ...geoip },
          probe: { bindIpv4: place.address },
          ...config,
        });
      });
      const script = alone ? 'probe-agent/src/main.ts' : 'test/src/network/several-agents.ts';
      const args = files.flatMap((file) => ['--config', file]);
      const agents = group.map(({ city }) => city.name);
      await run(agents, name, place, script, args);
    }),
  );
  return urls;
}
