import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { submitStatistics } from '@mecai/client';
import { pem, tlsServer } from '@mecai/test/network';
import { type Stage, serverName } from '../story.ts';
import { eventually } from './dashboard.ts';
import { mecai, vaId, writeVaList } from './vendor.ts';

const middleAddress = '127.20.0.6';

interface Items<T> {
  readonly items: readonly T[];
}
interface Report {
  readonly codes: readonly string[];
  readonly address: string;
  readonly port: number;
}
interface Sum {
  readonly code: string;
  readonly checks: number;
}

/** Perspectives are few, clients are many: one that refuses a server may tell, if its user wants that. */
export async function sceneClientReport(stage: Stage): Promise<boolean> {
  const { printer, network, forged } = stage;
  printer.scene(
    '(i) A client tells',
    'A man in the middle whom no perspective sees, since he sits next to one client. The user lets it report what it refuses.',
  );
  const file = (name: string, content: string | Uint8Array) => {
    writeFileSync(join(network.directory, name), content);
    return join(network.directory, name);
  };
  const list = writeVaList(stage, file);
  const roots = file('client-roots.pem', pem(network.pki.webRoot, network.pki.brokenRoot));
  const api = network.analytics!.ready['api']!;
  const middle = await tlsServer(forged, middleAddress);
  try {
    const url = `https://${serverName}:${middle.port}`;
    const believing = [
      '--address',
      middleAddress,
      '--ca',
      roots,
      '--list',
      list.file,
      '--list-key',
      list.key,
    ];
    const telling = ['--report', vaId, '--va-ca', network.files.httpsCa, '--json'];
    const { code, out } = await mecai('connect', url, ...believing, ...telling);
    const codes = [...new Set([...out.matchAll(/"code":\s*"([a-z-]+)"/g)].map(([, one]) => one!))];
    printer.step(
      { step: 'reported', ok: code === 1, codes },
      `mecai connect --report ${vaId}: refused (${codes.join(', ')}), and reported to the VA`,
    );

    // Sums are another matter: they name no server, and come at the end of the day.
    const day = new Date().toISOString().slice(0, 10);
    const counts = [{ code: 'accepted', checks: 41 } as const, { code: 'no-voucher', checks: 1 } as const];
    await submitStatistics(
      network.vrpUrl,
      { day, counts },
      { ca: readFileSync(network.files.httpsCa, 'utf8') },
    );

    const since = performance.now();
    const seen = await eventually(
      async () => {
        const [reports, sums] = await Promise.all([
          rows<Report>(`${api}/api/v1/client-reports?server_name=${serverName}&port=${middle.port}`),
          rows<Sum>(`${api}/api/v1/client-statistics`),
        ]);
        return { report: reports[0], checks: Object.fromEntries(sums.map((one) => [one.code, one.checks])) };
      },
      ({ report, checks }) => report !== undefined && counts.every((one) => checks[one.code] === one.checks),
    );
    const seconds = Number(((performance.now() - since) / 1000).toFixed(1));
    const { report, checks } = seen;
    const stored = report?.address === middleAddress && checks['accepted'] === 41;
    printer.step(
      { step: 'client-report', ok: stored, seconds, codes: report?.codes, checks },
      `${seconds} s later the dashboard has it: ${serverName} at ${report?.address}, ${report?.codes.join(', ')}; and its sums of the day: ${checks['accepted']} accepted, ${checks['no-voucher']} not`,
    );
    printer.line(`${api}/clients`);
    return code === 1 && stored;
  } finally {
    await middle.close();
  }
}

/** None while the API has its limits: it is asked again. */
async function rows<T>(url: string): Promise<readonly T[]> {
  const answer = await fetch(url);
  return answer.ok ? ((await answer.json()) as Items<T>).items : [];
}
