/** Started by database.test.ts several times at once: `increments.ts <config as JSON> <times>`. */
import { openDatabase } from '../open.ts';
import { migrate } from '../migrations.ts';
import { counter } from './counter.ts';

const [config = '', times = '0'] = process.argv.slice(2);
const database = await openDatabase(JSON.parse(config), Math.random);
await migrate(database, 'counter', counter, 0);
await Promise.all(
  Array.from({ length: Number(times) }, () =>
    database.transaction(async (statements) => {
      const [row] = await statements.query<{ value: number }>('select value from counter where id = $1', [1]);
      await statements.query('update counter set value = $1 where id = $2', [row!.value + 1, 1]);
    }),
  ),
);
await database.close();
