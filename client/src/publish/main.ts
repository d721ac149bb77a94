/** `npm run package --workspace @mecai/client`: writes the package to client/npm, for `npm publish`. */
import { join } from 'node:path';
import { writePackage } from './package.ts';

console.log(await writePackage(join(import.meta.dirname, '..', '..', 'npm')));
