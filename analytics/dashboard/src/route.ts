import { useEffect, useState } from 'preact/hooks';

export interface Route {
  /** Parts of the path, decoded. */
  readonly path: readonly string[];
  readonly query: URLSearchParams;
}

const read = (): Route => ({
  path: location.pathname
    .split('/')
    .filter((part) => part !== '')
    .map(decodeURIComponent),
  query: new URLSearchParams(location.search),
});

let moved = false;

/** Whether this is another page than the one that was loaded. */
export const hasMoved = (): boolean => moved;

const changed = () => dispatchEvent(new Event('routechange'));

export function navigate(url: string, { replace = false } = {}): void {
  history[replace ? 'replaceState' : 'pushState'](null, '', url);
  moved ||= !replace;
  changed();
  if (!replace) scrollTo(0, 0);
}

/** Where the address bar is. */
export function useRoute(): Route {
  const [route, setRoute] = useState(read);
  useEffect(() => {
    const update = () => setRoute(read());
    const events = ['popstate', 'routechange'] as const;
    for (const event of events) addEventListener(event, update);
    return () => {
      for (const event of events) removeEventListener(event, update);
    };
  }, []);
  return route;
}

/** Changes members of the query; what is empty goes. */
export function setQuery(changes: Readonly<Record<string, string>>): void {
  const query = new URLSearchParams(location.search);
  for (const [name, value] of Object.entries(changes)) {
    if (value === '') query.delete(name);
    else query.set(name, value);
  }
  const text = query.toString();
  navigate(location.pathname + (text === '' ? '' : `?${text}`), { replace: true });
}

/** Path of a page about something whose name may hold anything. */
export const pathTo = (...parts: readonly string[]): string => `/${parts.map(encodeURIComponent).join('/')}`;
