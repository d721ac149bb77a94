import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pem } from '@mecai/test/network';
import { type Stage, address, serverName } from './story.ts';

/** Commands for another terminal while the network stays up. Each of them succeeds. */
export function toTry({ network, site, genuine }: Stage): readonly string[] {
  const chain = join(network.directory, 'shop.pem');
  const voucher = join(network.directory, 'shop.voucher.der');
  writeFileSync(chain, pem(...genuine));
  const { httpsCa, vaRoot } = network.files;
  const endpoint = `--address ${address} --port ${site.port} --chain ${chain}`;
  return [
    `npm run --silent mecai -- request --va ${network.vrpUrl} --va-ca ${httpsCa} --name ${serverName} ${endpoint} --out ${voucher}`,
    `npm run --silent mecai -- inspect ${voucher}`,
    `npm run --silent mecai -- verify ${voucher} --roots ${vaRoot} ${endpoint}`,
    `npm run --silent mecai-admin -- agents list --config ${network.files.admin}`,
    `npm run --silent mecai-admin -- certificate --name ${serverName} --config ${network.files.admin}`,
  ];
}
