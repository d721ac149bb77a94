/** What analytics makes of the story while it is told: an incident on the dashboard, and a campaign. */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Stage } from '../story.ts';

const admin = join(import.meta.dirname, '../../../admin/src/main.ts');
const execute = promisify(execFile);

interface Incident {
  readonly id: string;
  readonly summary: string;
  readonly agents: readonly string[];
  readonly confidence: number;
}

interface Campaign {
  readonly summary: Readonly<Record<string, number>>;
  readonly results: readonly { readonly answered: number; readonly perspectives: number }[];
}

/** Asks until the answer is as wished, a minute at most. */
export async function eventually<T>(ask: () => Promise<T>, wished: (answer: T) => boolean): Promise<T> {
  const until = performance.now() + 60_000;
  for (;;) {
    const answer = await ask();
    if (wished(answer) || performance.now() > until) return answer;
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
}

/** The man in the middle of scene (b), as an operator sees it who was not looking. */
export async function showIncident({ network, printer }: Stage, agents: readonly string[]): Promise<boolean> {
  const url = network.analytics!.ready['api']!;
  const since = performance.now();
  const ask = async (): Promise<readonly Incident[]> => {
    const answer = await fetch(`${url}/api/v1/incidents?kind=regional-interception`);
    // On a slow machine the API has its limits, too.
    return answer.ok ? ((await answer.json()) as { items: Incident[] }).items : [];
  };
  // It opens with the first agent's word and grows with the others'.
  const whole = (incident: Incident) => agents.every((agent) => incident.agents.includes(agent));
  const [incident] = await eventually(ask, (found) => found.some(whole));
  const seconds = Number(((performance.now() - since) / 1000).toFixed(1));
  const ok = incident !== undefined && whole(incident);
  printer.step(
    { step: 'incident', ok, seconds, id: incident?.id, agents: incident?.agents },
    incident ? `${seconds} s later an incident is open: ${incident.summary}` : 'no incident was opened',
  );
  if (incident) printer.line(`${url}/incidents/${incident.id}`);
  return ok;
}

/** The operator wants to know which certificates of a CA are still served, and asks the agents to look again. */
export async function sceneCampaign(stage: Stage): Promise<boolean> {
  const { network, printer } = stage;
  printer.scene(
    '(f) Still served?',
    'After the trouble with the CA the operator asks which of its certificates are still served. The same agents look again.',
  );
  const command = async <T>(...args: string[]) => {
    const all = ['campaign', ...args, '--config', network.files.admin, '--json'];
    const { stdout } = await execute(process.execPath, [admin, ...all]);
    return JSON.parse(stdout) as T;
  };
  const issuer = 'CN=Example Web Issuing CA';
  const rates = ['--rate', '600', '--perspectives', '3'];
  const { id } = await command<{ id: string }>(
    'order',
    '--name',
    'Still served?',
    '--issuer',
    issuer,
    ...rates,
  );
  const { summary, results } = await eventually(
    () => command<Campaign>('show', id),
    // Each endpoint by three of them.
    ({ results: seen }) => seen.length > 0 && seen.every(({ perspectives }) => perspectives === 3),
  );
  const answers = results.reduce((sum, { answered }) => sum + answered, 0);
  const ok = summary['served'] === 1 && summary['waiting'] === undefined;
  stage.tally(results.length * 3, 0, 0);
  printer.step(
    { step: 'campaign', ok, id, summary, answers },
    `mecai-admin campaign: of ${results.length} endpoints with a certificate by ${issuer.slice(3)} ${Object.entries(
      summary,
    )
      .map(([state, endpoints]) => `${endpoints} ${state}`)
      .join(', ')} (${answers} answers)`,
  );
  printer.line(`${network.analytics!.ready['api']!}/campaigns/${id}`);
  return ok;
}
