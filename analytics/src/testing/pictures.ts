/** The pictures of the dashboard in docs/, anew, from the made-up history of the tour. `node analytics/src/testing/pictures.ts` */
import { join } from 'node:path';
import { startChromium } from '../../../test/src/parts/chromium.ts';
import { buildDashboard } from '../build-dashboard.ts';
import { dashboardDirectory } from '../dashboard.ts';
import { seededIncident } from './seed.ts';
import { seededAt, serve } from './served.ts';

const docs = join(import.meta.dirname, '../../../docs');
const pictures = [
  { file: 'dashboard.png', path: '/', height: 900 },
  { file: 'incident.png', path: `/incidents/${seededIncident}`, height: 860 },
];

await buildDashboard();
const served = await serve({ dashboard: dashboardDirectory() });
const browser = await startChromium();
for (const { file, path, height } of pictures) {
  const page = await browser.newPage({ viewport: { width: 1280, height }, reducedMotion: 'reduce' });
  await page.clock.setFixedTime(seededAt);
  await page.goto(served.url + path);
  await page.waitForSelector('h1');
  await page.waitForFunction(() => document.querySelector('.loading') === null);
  await page.screenshot({ path: join(docs, file) });
  console.log(file);
}
await browser.close();
await served.close();
