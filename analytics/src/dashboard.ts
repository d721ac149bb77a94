import { existsSync } from 'node:fs';
import { join } from 'node:path';

/** Where `npm run build --workspace @mecai/analytics` puts the dashboard; undefined: it was not built. */
export function dashboardDirectory(): string | undefined {
  const directory = join(import.meta.dirname, '../dashboard/dist');
  return existsSync(join(directory, 'index.html')) ? directory : undefined;
}
