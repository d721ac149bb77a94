import { useMemo } from 'preact/hooks';
import { save, useApi } from '../api.ts';
import { Chart, plainTooltip, useColours } from '../chart.tsx';
import { commonName, count, country, plain, sure, words } from '../format.ts';
import { type Route, pathTo } from '../route.ts';
import { Table } from '../table.tsx';
import type { Certificate, IncidentPage, Side } from '../types.ts';
import {
  Facts,
  Fingerprint,
  Foreign,
  ForeignList,
  Heading,
  Link,
  Name,
  Panel,
  Show,
  Tag,
  Time,
} from '../ui.tsx';

export function IncidentView({ path: [, id = ''] }: Route) {
  const incident = useApi<IncidentPage>(`incidents/${encodeURIComponent(id)}`, 5000);
  return (
    <>
      <Heading title="Incident">Incident</Heading>
      <Show of={incident}>{(page) => <Body page={page} />}</Show>
    </>
  );
}

function Body({ page }: { page: IncidentPage }) {
  const { incident, chains, evidence } = page;
  return (
    <>
      <p class="lead">
        <Foreign of={incident.summary} most={600} />
      </p>
      <Panel title="What, where, since when" actions={<Export page={page} />}>
        <Facts
          of={[
            ['Kind', <Tag of={incident.kind} />],
            ['State', <Tag of={incident.state} />],
            ['How sure', `${sure(incident.confidence)}, by rules version ${incident.rules_version}`],
            ['Since', <Time at={incident.since} />],
            ['Opened', <Time at={incident.opened_at} />],
            ['Last evidence', <Time at={incident.last_evidence_at} />],
            ['Closed', <Time at={incident.closed_at} />],
            ['Countries', incident.countries.map(country).join(', ') || '—'],
            ['Networks', incident.asns.map((asn) => `AS${asn}`).join(', ') || '—'],
            ['Perspectives', <ForeignList of={incident.agents} />],
            ['Signs', incident.reasons.map(words).join(', ') || '—'],
            ['Certificates by', <ForeignList of={incident.issuers.map(commonName)} />],
            ['Names affected', count(incident.names_affected)],
            ['Observations as evidence', count(incident.observations)],
          ]}
        />
      </Panel>
      <Panel title="Chains side by side">
        {chains.length === 0 && <p class="empty">No certificates are in question.</p>}
        {[...Map.groupBy(chains, endpointOf)].map(([endpoint, sides]) => (
          <section key={endpoint} class="pair" aria-label={plain(endpoint)}>
            <h3>
              <Foreign of={endpoint} />
            </h3>
            <div class="sides">
              {sides.some(({ role }) => role === 'control') ? (
                <SideList title="Without a name asked for (control)" role="control" chains={sides} />
              ) : (
                <>
                  <SideList title="Seen in the affected place" role="differs" chains={sides} />
                  <SideList title="Seen everywhere else" role="agrees" chains={sides} />
                </>
              )}
            </div>
          </section>
        ))}
      </Panel>
      <Panel title="Timeline">
        <Timeline page={page} />
      </Panel>
      <Panel title="Endpoints affected">
        <ul class="names">
          {incident.endpoints.slice(0, 100).map((endpoint) => (
            <li key={endpoint}>
              <Link to={pathTo('endpoints', endpoint)}>
                <Foreign of={endpoint} />
              </Link>
            </li>
          ))}
        </ul>
        {incident.endpoints.length > 100 && (
          <p class="note">and {count(incident.endpoints.length - 100)} more in the export</p>
        )}
      </Panel>
      <Panel title="Who saw what">
        <Table
          caption="Evidence, oldest first"
          keyOf={({ role, observation }) => role + observation}
          rows={evidence}
          most={50}
          columns={[
            { name: 'Time', cell: ({ received_at: at }) => <Time at={at} /> },
            { name: 'Side', cell: ({ role }) => <Tag of={role} /> },
            { name: 'Perspective', cell: ({ agent }) => <Foreign of={agent} /> },
            { name: 'Country', cell: ({ country: code }) => country(code) },
            { name: 'Network', cell: ({ asn }) => `AS${asn}` },
            { name: 'Name', cell: ({ server_name: name }) => (name ? <Foreign of={name} /> : '(none sent)') },
            { name: 'Address', cell: ({ address, port }) => `${address} port ${port}` },
            {
              name: 'Certificate',
              cell: ({ leaf, error_class: error }) =>
                leaf === '' ? words(error) : <Fingerprint of={leaf} />,
            },
          ]}
        />
      </Panel>
    </>
  );
}

const endpointOf = ({ server_name: name, address, port }: Side) =>
  `${name || '(no name sent)'} at ${address} port ${port}`;

function SideList({ title, role, chains }: { title: string; role: string; chains: readonly Side[] }) {
  const mine = chains.filter((one) => one.role === role);
  return (
    <div>
      <h4>{title}</h4>
      {mine.length === 0 && <p class="empty">No certificate on this side.</p>}
      {mine.map((side) => (
        <article key={side.leaf} class={`chain ${role}`}>
          <p class="note">
            {count(side.observations)} × by <ForeignList of={side.agents} /> (
            {side.countries.map(country).join(', ')})
          </p>
          <ol>
            {side.certificates.map((certificate, i) => (
              <li key={certificate.fingerprint}>
                <CertificateBox certificate={certificate} leaf={i === 0} />
              </li>
            ))}
          </ol>
        </article>
      ))}
    </div>
  );
}

const CertificateBox = ({ certificate, leaf }: { certificate: Certificate; leaf: boolean }) => (
  <div class="certificate">
    <strong>
      <Name of={certificate.subject ?? '(not stored)'} />
    </strong>
    <span>
      by <Name of={certificate.issuer ?? 'unknown'} />
    </span>
    {leaf && (
      <span class="note">
        <Foreign of={certificate.key ?? ''} /> · until <Time at={certificate.not_after} />
      </span>
    )}
    <Fingerprint of={certificate.fingerprint} />
  </div>
);

function Timeline({ page: { timeline } }: { page: IncidentPage }) {
  const palette = useColours();
  const option = useMemo(
    () => ({
      tooltip: { trigger: 'axis', ...plainTooltip(palette) },
      legend: { bottom: 0, textStyle: { color: palette.muted }, itemHeight: 14 },
      grid: { left: 8, right: 16, top: 16, bottom: 36, containLabel: true },
      useUTC: true,
      xAxis: { type: 'time', axisLabel: { color: palette.muted, hideOverlap: true } },
      yAxis: {
        type: 'value',
        minInterval: 1,
        axisLabel: { color: palette.muted },
        splitLine: { lineStyle: { color: palette.line } },
      },
      series: (
        [
          ['differs', 'differs', palette.bad],
          ['agrees', 'agrees elsewhere', palette.good],
          ['control', 'control', palette.info],
          ['failed', 'failed', palette.warn],
        ] as const
      )
        .filter(([member]) => timeline.some((one) => one[member] > 0))
        .map(([member, name, color]) => ({
          type: 'bar',
          name,
          stack: 'all',
          itemStyle: { color },
          barMinWidth: 3,
          barMaxWidth: 24,
          data: timeline.map((one) => [Date.parse(one.time), one[member]]),
        })),
    }),
    [timeline, palette],
  );
  if (timeline.length === 0) return <p class="empty">No evidence with a time.</p>;
  const sum = (member: 'differs' | 'agrees') => timeline.reduce((all, one) => all + one[member], 0);
  return (
    <Chart
      option={option}
      height={220}
      label={`Evidence over time: observations that differ ${count(sum('differs'))}, that agree elsewhere ${count(sum('agrees'))}.`}
    >
      <Table
        compared
        caption="Evidence over time"
        keyOf={({ time }) => time}
        rows={timeline}
        columns={[
          { name: 'From', cell: ({ time }) => <Time at={time} /> },
          { name: 'Differs', numeric: true, cell: ({ differs }) => count(differs) },
          { name: 'Agrees', numeric: true, cell: ({ agrees }) => count(agrees) },
          { name: 'Control', numeric: true, cell: ({ control }) => count(control) },
          { name: 'Failed', numeric: true, cell: ({ failed }) => count(failed) },
        ]}
      />
    </Chart>
  );
}

/** What the page shows, as files. */
function Export({ page }: { page: IncidentPage }) {
  const name = `incident-${page.incident.id.slice(0, 8)}`;
  // A cell that begins like a formula is text to every spreadsheet (CWE-1236).
  const cell = (value: unknown) =>
    `"${String(value)
      .replaceAll('"', '""')
      .replace(/^[=+\-@\t\r]/, "'$&")}"`;
  const csv = () => {
    const names = Object.keys(page.evidence[0] ?? {}) as (keyof (typeof page.evidence)[number])[];
    return [
      names.join(','),
      ...page.evidence.map((row) => names.map((one) => cell(row[one])).join(',')),
    ].join('\n');
  };
  return (
    <div class="filters">
      <button
        type="button"
        onClick={() => save(`${name}.json`, new Blob([JSON.stringify(page, undefined, 2)]))}
      >
        Export JSON
      </button>
      <button type="button" onClick={() => save(`${name}-evidence.csv`, new Blob([csv()]))}>
        Evidence as CSV
      </button>
    </div>
  );
}
