import { useState } from 'preact/hooks';
import { ApiError, post, useApi } from '../api.ts';
import { count, percent, textOf } from '../format.ts';
import { type Route, navigate, pathTo, setQuery } from '../route.ts';
import { Table } from '../table.tsx';
import type { Campaign, CampaignPage, Page } from '../types.ts';
import {
  Choice,
  Facts,
  Fingerprint,
  Foreign,
  Heading,
  Link,
  Panel,
  Show,
  Tag,
  Time,
  Trouble,
} from '../ui.tsx';
import { Listed, listPath } from './more.tsx';

const kinds = [
  ['issuer', 'Certificates of a CA'],
  ['vouchers', 'Vouchers outstanding'],
  ['certificate', 'One certificate'],
  ['endpoints', 'A list'],
] as const;

export function Campaigns({ query }: Route) {
  const campaigns = useApi<Page<Campaign>>(listPath('campaigns', query, ['state']), 5000);
  return (
    <>
      <Heading title="Campaigns">Campaigns</Heading>
      <Panel title="Order a campaign">
        <Order />
      </Panel>
      <Panel title="All campaigns">
        <Listed
          of={campaigns}
          query={query}
          caption="Campaigns, newest first"
          keyOf={({ id }) => id}
          empty="None yet."
          columns={[
            { name: 'State', cell: ({ state }) => <Tag of={state} /> },
            {
              name: 'Name',
              cell: ({ id, name }) => (
                <Link to={pathTo('campaigns', id)}>
                  <Foreign of={name} />
                </Link>
              ),
            },
            { name: 'Chosen by', cell: ({ kind }) => kind },
            { name: 'Endpoints', numeric: true, cell: ({ endpoints }) => count(endpoints) },
            { name: 'Progress', numeric: true, cell: progress },
            { name: 'Ordered', cell: ({ created_at: at }) => <Time at={at} /> },
            { name: 'By', cell: ({ author }) => author },
          ]}
        />
      </Panel>
    </>
  );
}

const progress = ({ state, round, rounds, next, endpoints }: Campaign) =>
  state === 'done' ? 'done' : percent(round * endpoints + next, rounds * endpoints);

function Order() {
  const [kind, setKind] = useState('issuer');
  const [error, setError] = useState<ApiError>();
  const [busy, setBusy] = useState(false);
  const order = async (form: HTMLFormElement) => {
    const data = new FormData(form);
    const text = (name: string) => textOf(data, name);
    setBusy(true);
    setError(undefined);
    try {
      const made = await post<Campaign>('campaigns', {
        name: text('name'),
        choice:
          kind === 'endpoints'
            ? { kind, endpoints: listed(text('list')) }
            : { kind, subject: text('subject') },
        perMinute: Number(text('perMinute')),
        perspectives: Number(text('perspectives')),
        rounds: Number(text('rounds')),
        everySeconds: Number(text('everyMinutes')) * 60,
      });
      navigate(pathTo('campaigns', made.id));
    } catch (failed) {
      setError(failed instanceof ApiError ? failed : new ApiError('internal', 0, String(failed)));
      setBusy(false);
    }
  };
  const number = (name: string, label: string, value: number, min: number, max: number) => (
    <label class="field">
      <span>{label}</span>
      <input name={name} type="number" required min={min} max={max} value={value} />
    </label>
  );
  return (
    <form
      class="form"
      onSubmit={(event) => {
        event.preventDefault();
        void order(event.currentTarget);
      }}
    >
      <label class="field wide">
        <span>What it is for</span>
        <input name="name" required maxLength={200} placeholder="Is it still served?" />
      </label>
      <Choice label="Endpoints of" value={kind} options={kinds} onChange={setKind} />
      {kind === 'endpoints' ? (
        <label class="wide">
          <span>One a line: address, port, name, protocol; a line may end after any but the first two</span>
          <textarea
            name="list"
            required
            rows={4}
            spellcheck={false}
            placeholder={'192.0.2.7 443 www.example.org\n2001:db8::25 25 mx.example.org smtp'}
          />
        </label>
      ) : (
        <label class="field wide">
          <span>
            {kind === 'certificate' ? 'SHA-256' : kind === 'vouchers' ? 'Issuer (empty: all)' : 'Issuer'}
          </span>
          <input
            name="subject"
            required={kind !== 'vouchers'}
            placeholder={kind === 'certificate' ? '' : 'CN=…,O=…,C=…'}
          />
        </label>
      )}
      {number('perspectives', 'Perspectives each', 3, 1, 100)}
      {number('perMinute', 'Probes a minute', 60, 1, 6000)}
      {number('rounds', 'Rounds', 1, 1, 10_000)}
      {number('everyMinutes', 'Minutes a round', 60, 1, 44_640)}
      <button type="submit" class="primary" disabled={busy}>
        Order
      </button>
      {error && <Trouble error={error} />}
    </form>
  );
}

/** What is no endpoint is for the API to say. */
const listed = (text: string) =>
  text.split('\n').map((line) => {
    const [address = '', port, serverName = '', startTls = ''] = line.trim().split(/[\s,]+/);
    return { address, port: Number(port), serverName, startTls };
  });

const states = [
  ['', 'All'],
  ['served', 'Still served'],
  ['replaced', 'Replaced'],
  ['unreachable', 'Unreachable'],
  ['seen', 'Seen'],
  ['waiting', 'Not looked at yet'],
] as const;

export function CampaignView({ path: [, id = ''], query }: Route) {
  const page = useApi<CampaignPage>(`campaigns/${encodeURIComponent(id)}`, 3000);
  const [error, setError] = useState<ApiError>();
  const stop = () =>
    post(`campaigns/${id}/stop`, {}).then(page.reload, (failed: unknown) => {
      if (failed instanceof ApiError) setError(failed);
    });
  const only = query.get('state') ?? '';
  return (
    <>
      <Heading title="Campaign">Campaign</Heading>
      {error && <Trouble error={error} />}
      <Show of={page}>
        {({ campaign, summary, results }) => {
          const rows = results.filter(({ state }) => only === '' || state === only);
          return (
            <>
              <p class="lead">
                <Foreign of={campaign.name} most={300} />
              </p>
              <div class="tiles">
                {states.slice(1).map(([state, text]) => (
                  <div key={state} class="tile">
                    <span class="value">{count(summary[state] ?? 0)}</span>
                    <span class="name">{text}</span>
                  </div>
                ))}
              </div>
              <Panel
                title="The order"
                actions={
                  campaign.state === 'running' && (
                    <button type="button" onClick={() => void stop()}>
                      Stop
                    </button>
                  )
                }
              >
                <Facts
                  of={[
                    ['State', <Tag of={campaign.state} />],
                    ['Progress', progress(campaign)],
                    [
                      'Chosen by',
                      <Foreign
                        of={campaign.subject === '' ? campaign.kind : `${campaign.kind}: ${campaign.subject}`}
                        most={300}
                      />,
                    ],
                    ['Endpoints', count(campaign.endpoints)],
                    ['Perspectives each', count(campaign.perspectives)],
                    ['Probes a minute', `${count(campaign.per_minute)} at most`],
                    ['Ordered', <Time at={campaign.created_at} />],
                    ['By', campaign.author],
                  ]}
                />
              </Panel>
              <Panel
                title="What came of it"
                actions={
                  <Choice
                    label="Show"
                    value={only}
                    options={states}
                    onChange={(state) => setQuery({ state })}
                  />
                }
              >
                <Table
                  caption="Endpoints and what was last seen there"
                  keyOf={({ number }) => String(number)}
                  rows={rows}
                  most={100}
                  empty="No endpoint like this."
                  columns={[
                    {
                      name: 'Endpoint',
                      cell: ({ server_name: name, port, start_tls: protocol }) => {
                        const endpoint = `${name}:${port}${protocol === '' ? '' : `/${protocol}`}`;
                        return (
                          <Link to={pathTo('endpoints', endpoint)}>
                            <Foreign of={endpoint} />
                          </Link>
                        );
                      },
                    },
                    { name: 'Address', cell: ({ address }) => address },
                    { name: 'State', cell: ({ state }) => <Tag of={state} /> },
                    { name: 'Asked about', cell: ({ leaf }) => <Fingerprint of={leaf} /> },
                    {
                      name: 'Seen',
                      cell: ({ leaves }) =>
                        leaves.length === 0
                          ? '—'
                          : leaves.map((leaf) => <Fingerprint key={leaf} of={leaf} />),
                    },
                    {
                      name: 'Answers',
                      numeric: true,
                      cell: ({ answered, perspectives }) => `${answered} of ${perspectives}`,
                    },
                    { name: 'Last look', cell: ({ last_at: at }) => <Time at={at} /> },
                  ]}
                />
              </Panel>
            </>
          );
        }}
      </Show>
    </>
  );
}
