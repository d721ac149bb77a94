import { useState } from 'preact/hooks';
import { ApiError, call, post, save, useApi } from '../api.ts';
import { count, counted, country } from '../format.ts';
import { type Route, navigate, pathTo, setQuery } from '../route.ts';
import { type ColumnOf, Table } from '../table.tsx';
import type { Campaign, Certificate, CertificatePage, Page } from '../types.ts';
import {
  Facts,
  Field,
  Fingerprint,
  Foreign,
  ForeignList,
  Heading,
  Key,
  Link,
  Name,
  Panel,
  Show,
  Tag,
  Time,
  Trouble,
} from '../ui.tsx';
import { Listed, listPath } from './more.tsx';

/** What a certificate is, and whose. */
export const columns: readonly ColumnOf<Certificate>[] = [
  { name: 'Certificate', cell: ({ fingerprint }) => <Fingerprint of={fingerprint} /> },
  { name: 'Subject', cell: ({ subject }) => <Name of={subject} /> },
  { name: 'Issuer', cell: ({ issuer }) => <Name of={issuer} /> },
  { name: 'Key', cell: ({ key = '' }) => <Key of={key} /> },
];

export function Certificates({ query }: Route) {
  const value = (name: string) => query.get(name) ?? '';
  const path = listPath('certificates', query, ['dns_name', 'issuer', 'fingerprint', 'spki']);
  const certificates = useApi<Page<Certificate>>(path);
  const set = (name: string) => (text: string) => setQuery({ [name]: text, cursor: '' });
  return (
    <>
      <Heading title="Certificates">Certificates</Heading>
      <Panel
        title="Certificates seen"
        actions={
          <div class="filters">
            <Field
              label="Good for"
              value={value('dns_name')}
              placeholder="www.example.org"
              onChange={set('dns_name')}
            />
            <Field label="Issuer" value={value('issuer')} placeholder="CN=…,O=…" onChange={set('issuer')} />
            <Field label="SHA-256" value={value('fingerprint')} onChange={set('fingerprint')} />
            <Field label="SPKI" value={value('spki')} onChange={set('spki')} />
          </div>
        }
      >
        <Listed
          of={certificates}
          query={query}
          caption="Certificates, first seen last"
          keyOf={({ fingerprint }) => fingerprint}
          empty="No certificate like this."
          columns={[
            ...columns,
            { name: 'First seen', cell: ({ first_received_at: at }) => <Time at={at} /> },
            { name: 'Valid to', cell: ({ not_after: at }) => <Time at={at} /> },
          ]}
        />
      </Panel>
    </>
  );
}

/** Octets of a name shown where it is what the page is about; the DER has all. */
const whole = 1000;

export function CertificateView({ path: [, fingerprint = ''] }: Route) {
  const page = useApi<CertificatePage>(`certificates/${encodeURIComponent(fingerprint)}`, 15_000);
  return (
    <>
      <Heading title="Certificate">Certificate</Heading>
      <Show of={page}>{(of) => <Body page={of} />}</Show>
    </>
  );
}

function Body({ page: { certificate, seen, sightings, vouchers, incidents } }: { page: CertificatePage }) {
  const { fingerprint } = certificate;
  const still = sightings.filter(({ now }) => now === fingerprint).length;
  return (
    <>
      <p class="lead">
        <Name of={certificate.subject} />
      </p>
      <Panel title="What it says" actions={<Download fingerprint={fingerprint} />}>
        <Facts
          of={[
            ['Subject', <Foreign of={certificate.subject || '—'} most={whole} />],
            [
              'Issuer',
              <Link to={`/certificates?issuer=${encodeURIComponent(certificate.issuer ?? '')}`}>
                <Foreign of={certificate.issuer || '—'} most={whole} />
              </Link>,
            ],
            [
              'Serial number',
              <code class="wrap">
                <Foreign of={certificate.serial ?? '—'} />
              </code>,
            ],
            ['Names', <ForeignList of={certificate.dns_names ?? []} most={100} />],
            ['Key', <Foreign of={certificate.key ?? '—'} />],
            ['Valid from', <Time at={certificate.not_before} />],
            ['Valid to', <Time at={certificate.not_after} />],
            ['SHA-256', <code class="wrap">{fingerprint}</code>],
            ['SHA-256 of its key', <code class="wrap">{certificate.spki || '—'}</code>],
            ['First seen', <Time at={seen?.first_seen} />],
            ['Last seen', <Time at={seen?.last_seen} />],
            [
              'Seen from',
              seen
                ? `${counted(seen.perspectives, 'perspective')}, ${counted(seen.networks, 'network')}, ${counted(seen.countries, 'country', 'countries')}`
                : '—',
            ],
            ...(certificate.fault ? ([['Unreadable', <Foreign of={certificate.fault} />]] as const) : []),
          ]}
        />
      </Panel>
      {incidents.length > 0 && (
        <Panel title="Incidents with it">
          <ul class="names">
            {incidents.map(({ id, kind, summary }) => (
              <li key={id}>
                <Tag of={kind} />{' '}
                <Link to={pathTo('incidents', id)}>
                  <Foreign of={summary} most={300} />
                </Link>
              </li>
            ))}
          </ul>
        </Panel>
      )}
      <Panel title="Where it was seen" actions={<StillServed fingerprint={fingerprint} />}>
        {sightings.length > 0 && (
          <p class="note">
            It is what was seen last at {count(still)} of {counted(sightings.length, 'endpoint')}.
          </p>
        )}
        <Table
          caption="Endpoints that showed it"
          keyOf={({ endpoint }) => endpoint}
          rows={sightings}
          empty="At no endpoint as the first certificate."
          columns={[
            {
              name: 'Endpoint',
              cell: ({ endpoint }) => (
                <Link to={pathTo('endpoints', endpoint)}>
                  <Foreign of={endpoint} />
                </Link>
              ),
            },
            {
              name: 'Now',
              cell: ({ now }) =>
                now === fingerprint ? (
                  <Tag of="served">still served</Tag>
                ) : (
                  <Tag of="replaced">another certificate</Tag>
                ),
            },
            { name: 'First seen', cell: ({ first_seen: at }) => <Time at={at} /> },
            { name: 'Last seen', cell: ({ last_seen: at }) => <Time at={at} /> },
            { name: 'Last look', cell: ({ looked_at: at }) => <Time at={at} /> },
            { name: 'From', cell: ({ countries }) => countries.map(country).join(', ') },
          ]}
        />
      </Panel>
      <Panel title="Vouchers for it">
        <Table
          caption="Vouchers for this certificate, newest first"
          keyOf={({ id }) => id}
          rows={vouchers}
          empty="None."
          columns={[
            {
              name: 'For',
              cell: ({ server_name: name, address, port }) => (
                <>
                  <Foreign of={name} /> at {address.join(' and ')}, port {port}
                </>
              ),
            },
            { name: 'Trusted in', cell: ({ trust_contexts: contexts }) => contexts.join(', ') },
            { name: 'Produced', cell: ({ produced_at: at }) => <Time at={at} /> },
            { name: 'Good until', cell: ({ not_after: at }) => <Time at={at} /> },
          ]}
        />
      </Panel>
    </>
  );
}

function Download({ fingerprint }: { fingerprint: string }) {
  const load = async () => {
    const response = await call(`certificates/${fingerprint}/der`);
    save(`${fingerprint.slice(0, 16)}.cer`, await response.blob());
  };
  return (
    <button type="button" onClick={() => void load()}>
      Download DER
    </button>
  );
}

/** Looks again at every endpoint where it was seen. */
function StillServed({ fingerprint }: { fingerprint: string }) {
  const [error, setError] = useState<ApiError>();
  const [busy, setBusy] = useState(false);
  const look = async () => {
    setBusy(true);
    try {
      const campaign = await post<Campaign>('campaigns', {
        name: `Still served? ${fingerprint.slice(0, 12)}`,
        choice: { kind: 'certificate', subject: fingerprint },
        perMinute: 120,
        perspectives: 3,
      });
      navigate(pathTo('campaigns', campaign.id));
    } catch (failed) {
      setError(failed instanceof ApiError ? failed : new ApiError('internal', 0, String(failed)));
      setBusy(false);
    }
  };
  return (
    <div>
      <button type="button" class="primary" disabled={busy} onClick={() => void look()}>
        Still served? Look again
      </button>
      {error && <Trouble error={error} />}
    </div>
  );
}
