import { useApi } from '../api.ts';
import { count, country, sure } from '../format.ts';
import { type Route, pathTo, setQuery } from '../route.ts';
import type { ColumnOf } from '../table.tsx';
import type { Incident, Page } from '../types.ts';
import { Choice, Field, Foreign, Heading, Link, Panel, Tag, Time } from '../ui.tsx';
import { Listed, listPath } from './more.tsx';

const states = [
  ['', 'Any'],
  ['open', 'Open'],
  ['closed', 'Closed'],
  ['withdrawn', 'Withdrawn'],
] as const;
const kinds = [
  ['', 'Any'],
  ['regional-interception', 'Regional interception'],
  ['local-outage', 'Local outage'],
  ['faulty-agent', 'Faulty agent'],
] as const;

/** What an incident is, and where. */
export const columns: readonly ColumnOf<Incident>[] = [
  { name: 'Kind', cell: ({ kind }) => <Tag of={kind} /> },
  {
    name: 'What',
    wide: true,
    cell: ({ id, summary }) => (
      <Link to={pathTo('incidents', id)}>
        <Foreign of={summary} most={300} />
      </Link>
    ),
  },
  { name: 'Where', cell: ({ countries }) => countries.map(country).join(', ') },
];

export function Incidents({ query }: Route) {
  const value = (name: string) => query.get(name) ?? '';
  const path = listPath('incidents', query, ['state', 'kind', 'country', 'server_name']);
  const incidents = useApi<Page<Incident>>(path, 5000);
  return (
    <>
      <Heading title="Incidents">Incidents</Heading>
      <Panel
        title="All incidents"
        actions={
          <div class="filters">
            <Choice
              label="State"
              value={value('state')}
              options={states}
              onChange={(state) => setQuery({ state, cursor: '' })}
            />
            <Choice
              label="Kind"
              value={value('kind')}
              options={kinds}
              onChange={(kind) => setQuery({ kind, cursor: '' })}
            />
            <Field
              label="Country"
              value={value('country')}
              placeholder="KZ"
              onChange={(code) => setQuery({ country: code.toUpperCase(), cursor: '' })}
            />
            <Field
              label="Name"
              value={value('server_name')}
              onChange={(name) => setQuery({ server_name: name, cursor: '' })}
            />
          </div>
        }
      >
        <Listed
          of={incidents}
          query={query}
          caption="Incidents, newest first"
          keyOf={({ id }) => id}
          empty="No incident like this."
          columns={[
            { name: 'State', cell: ({ state }) => <Tag of={state} /> },
            ...columns,
            { name: 'Opened', cell: ({ opened_at: at }) => <Time at={at} /> },
            { name: 'Closed', cell: ({ closed_at: at }) => <Time at={at} /> },
            { name: 'Names', numeric: true, cell: ({ names_affected: names }) => count(names) },
            { name: 'Sure', numeric: true, cell: ({ confidence }) => sure(confidence) },
          ]}
        />
      </Panel>
    </>
  );
}
