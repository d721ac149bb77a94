import { afterAll, beforeAll } from 'vitest';
import { attackTests } from './attack.ts';
import { stapledTests } from './stapled.ts';
import { rolloverTests } from './rollover.ts';
import { StockServers } from './stock-servers.ts';
import { startWorld, type World } from './world.ts';

let world: World;
let servers: StockServers;

beforeAll(async () => {
  // Three networks, and seventeen VAs more in the client vendor's list.
  world = await startWorld(17);
  servers = new StockServers(world);
}, 180_000);
afterAll(async () => {
  await servers?.stop();
  await world?.stop();
});

stapledTests(() => ({ world, servers }));
attackTests(() => ({ world, servers }));
rolloverTests(() => ({ world, servers }));
