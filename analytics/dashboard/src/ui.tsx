import type { ComponentChildren } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import type { ApiError, Loaded } from './api.ts';
import { commonName, plain, short, time, words } from './format.ts';
import { hasMoved, navigate, pathTo } from './route.ts';

/** A link within the dashboard. */
export function Link({
  to,
  children,
  class: name,
  title,
  current = false,
}: {
  to: string;
  children: ComponentChildren;
  class?: string;
  title?: string;
  /** This is where one is. */
  current?: boolean;
}) {
  const follow = (event: MouseEvent) => {
    if (event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    navigate(to);
  };
  return (
    <a href={to} class={name} title={title} aria-current={current ? 'page' : undefined} onClick={follow}>
      {children}
    </a>
  );
}

/** The heading of a page, which takes the focus when the page is opened, and its title. */
export function Heading({ children, title }: { children: ComponentChildren; title: string }) {
  const element = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    document.title = `${title} · MECAI analytics`;
  }, [title]);
  useEffect(() => {
    if (hasMoved()) element.current?.focus();
  }, []);
  return (
    <h1 ref={element} tabIndex={-1}>
      {children}
    </h1>
  );
}

export function Panel({
  title,
  children,
  actions,
}: {
  title: string;
  children: ComponentChildren;
  actions?: ComponentChildren;
}) {
  return (
    <section class="panel" aria-label={title}>
      <header>
        <h2>{title}</h2>
        {actions}
      </header>
      {children}
    </section>
  );
}

const tones: Readonly<Record<string, string>> = {
  open: 'bad',
  mismatch: 'bad',
  differs: 'bad',
  'regional-interception': 'bad',
  replaced: 'warn',
  unreachable: 'warn',
  inconclusive: 'warn',
  silent: 'warn',
  contradicts: 'warn',
  'local-outage': 'warn',
  'faulty-agent': 'warn',
  failed: 'warn',
  served: 'good',
  match: 'good',
  agrees: 'good',
  alive: 'good',
  running: 'info',
};

/** A word from a closed set, coloured by what it means; the word itself says it too. */
export const Tag = ({ of, children }: { of: string; children?: ComponentChildren }) => (
  <span class={`tag ${tones[of] ?? ''}`}>{children ?? words(of)}</span>
);

export const Time = ({ at }: { at: string | null | undefined }) =>
  at ? (
    <time dateTime={at} title={at}>
      {time(at)}
    </time>
  ) : (
    <span>—</span>
  );

/** What a stranger wrote: it is cut, nothing of it is invisible, and it turns no text around it. */
export const Foreign = ({ of, most = 120 }: { of: string; most?: number }) => (
  <bdi title={of.length > most ? plain(of, 1000) : undefined}>{plain(of, most)}</bdi>
);

/** The first of them, and how many more there are. */
export const ForeignList = ({ of, most = 20 }: { of: readonly string[]; most?: number }) => (
  <>
    {of.slice(0, most).map((one, i) => (
      <span key={one}>
        {i > 0 && ', '}
        <Foreign of={one} />
      </span>
    ))}
    {of.length > most && ` and ${of.length - most} more`}
    {of.length === 0 && '—'}
  </>
);

/** The name a person knows a subject or issuer by; all of it is its title. */
export const Name = ({ of = '' }: { of?: string | undefined }) => (
  <bdi title={plain(of, 1000)}>{commonName(of) || '—'}</bdi>
);

/** A kind of key, in one piece unless a stranger made it long. */
export const Key = ({ of }: { of: string }) => (
  <span class={of.length < 24 ? 'whole' : ''}>
    <Foreign of={of} />
  </span>
);

export const Fingerprint = ({ of }: { of: string }) =>
  of === '' ? (
    <span>—</span>
  ) : (
    <Link to={pathTo('certificates', of)} class="digest" title={of}>
      {short(of)}
    </Link>
  );

export function Trouble({ error, retry }: { error: ApiError; retry?: () => void }) {
  const hint = error.status === 401 ? ' Enter a token at the top of the page.' : '';
  return (
    <div class="trouble" role="alert">
      <p>
        <strong>{error.message}</strong>
        {hint}
      </p>
      {retry && (
        <button type="button" onClick={retry}>
          Try again
        </button>
      )}
    </div>
  );
}

/** Shows what was loaded, or that it is not there yet, or why it does not come. */
export function Show<T>({ of, children }: { of: Loaded<T>; children: (data: T) => ComponentChildren }) {
  return (
    <>
      {of.error && <Trouble error={of.error} retry={of.reload} />}
      {of.data !== undefined && children(of.data)}
      {of.loading && (
        <p class="loading" role="status">
          Loading…
        </p>
      )}
    </>
  );
}

export function Choice({
  label,
  value,
  options,
  onChange,
}: {
  label: string;
  value: string;
  options: readonly (readonly [value: string, text: string])[];
  onChange: (value: string) => void;
}) {
  return (
    <label class="field">
      <span>{label}</span>
      <select value={value} onChange={({ currentTarget }) => onChange(currentTarget.value)}>
        {options.map(([option, text]) => (
          <option key={option} value={option}>
            {text}
          </option>
        ))}
      </select>
    </label>
  );
}

/** A filter that is applied when the field is left or Enter is pressed. */
export function Field({
  label,
  value,
  onChange,
  placeholder = '',
}: {
  label: string;
  value: string;
  onChange: (value: string) => void;
  placeholder?: string;
}) {
  return (
    <label class="field">
      <span>{label}</span>
      <input
        type="search"
        value={value}
        placeholder={placeholder}
        onChange={({ currentTarget }) => onChange(currentTarget.value.trim())}
      />
    </label>
  );
}

export const Facts = ({ of }: { of: readonly (readonly [name: string, value: ComponentChildren])[] }) => (
  <dl class="facts">
    {of.map(([name, value]) => (
      <div key={name}>
        <dt>{name}</dt>
        <dd>{value}</dd>
      </div>
    ))}
  </dl>
);
