import './style.css';
import { render } from 'preact';
import { useRef, useState } from 'preact/hooks';
import { token } from './api.ts';
import { textOf } from './format.ts';
import { CampaignView, Campaigns } from './pages/campaigns.tsx';
import { CertificateView, Certificates } from './pages/certificates.tsx';
import { Clients } from './pages/clients.tsx';
import { EndpointView, Endpoints } from './pages/endpoints.tsx';
import { IncidentView } from './pages/incident.tsx';
import { Incidents } from './pages/incidents.tsx';
import { Overview } from './pages/overview.tsx';
import { Sql } from './pages/sql.tsx';
import { type Route, useRoute } from './route.ts';
import { Theme } from './theme.tsx';
import { Heading, Link } from './ui.tsx';

const sections = [
  ['', 'Overview'],
  ['incidents', 'Incidents'],
  ['endpoints', 'Endpoints'],
  ['certificates', 'Certificates'],
  ['clients', 'Clients'],
  ['campaigns', 'Campaigns'],
  ['sql', 'SQL'],
] as const;

function View({ route }: { route: Route }) {
  const [section, item] = route.path;
  const named = item !== undefined;
  switch (section) {
    case undefined:
      return <Overview {...route} />;
    case 'incidents':
      return named ? <IncidentView {...route} /> : <Incidents {...route} />;
    case 'endpoints':
      return named ? <EndpointView {...route} /> : <Endpoints {...route} />;
    case 'certificates':
      return named ? <CertificateView {...route} /> : <Certificates {...route} />;
    case 'clients':
      return <Clients {...route} />;
    case 'campaigns':
      return named ? <CampaignView {...route} /> : <Campaigns {...route} />;
    case 'sql':
      return <Sql {...route} />;
    default:
      return <Heading title="Not here">There is no such page.</Heading>;
  }
}

function App() {
  const route = useRoute();
  // A token that is entered asks everything anew.
  const [round, setRound] = useState(0);
  return (
    <>
      <a class="skip" href="#content">
        Skip to content
      </a>
      <header class="top">
        <Link to="/" class="brand">
          MECAI <span>analytics</span>
        </Link>
        <nav aria-label="Sections">
          {sections.map(([path, name]) => (
            <Link key={path} to={`/${path}`} current={(route.path[0] ?? '') === path}>
              {name}
            </Link>
          ))}
        </nav>
        <div class="tools">
          <TokenEntry onChange={() => setRound(round + 1)} />
          <Theme />
        </div>
      </header>
      <main id="content" key={round}>
        <View key={route.path.join('/')} route={route} />
      </main>
      <footer>
        Times are UTC. <a href="/api/openapi.json">API</a> · Map: Natural Earth
      </footer>
    </>
  );
}

function TokenEntry({ onChange }: { onChange: () => void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  const [present, setPresent] = useState(token.get() !== '');
  const save = (value: string) => {
    token.set(value);
    setPresent(value !== '');
    dialog.current?.close();
    onChange();
  };
  return (
    <>
      <button type="button" onClick={() => dialog.current?.showModal()}>
        {present ? 'Token ✓' : 'Token'}
      </button>
      <dialog ref={dialog} aria-labelledby="token-title">
        <form
          onSubmit={(event) => {
            event.preventDefault();
            save(textOf(new FormData(event.currentTarget), 'token'));
          }}
        >
          <h2 id="token-title">API token</h2>
          <p class="note">
            Kept until this tab is closed. Needed for SQL, for campaigns, and for reading where the operator
            wants it so.
          </p>
          <label class="field">
            <span>Token</span>
            <input name="token" type="password" autocomplete="off" />
          </label>
          <div class="filters">
            <button type="submit" class="primary">
              Use it
            </button>
            <button type="button" onClick={() => save('')}>
              Forget it
            </button>
            <button type="button" onClick={() => dialog.current?.close()}>
              Cancel
            </button>
          </div>
        </form>
      </dialog>
    </>
  );
}

render(<App />, document.querySelector('#app')!);
