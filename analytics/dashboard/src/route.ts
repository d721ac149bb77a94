import { useEffect, useState } from 'preact/hooks';

export interface Route {
  /** Parts of the path, decoded. */
  readonly path: readonly string[];
  readonly query: URLSearchParams;
}

/** What is no text in UTF-8 stays as it is, and leads nowhere. */
function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

const read = (): Route => ({
  path: location.pathname
    .split('/')
    .filter((part) => part !== '')
    .map(decoded),
  query: new URLSearchParams(location.search),
});

let moved = false;

/** Whether this is another page than the one that was loaded. */
export const hasMoved = (): boolean => moved;

const changed = () => dispatchEvent(new Event('routechange'));

export function navigate(url: string): void {
  history.pushState(null, '', url);
  moved = true;
  changed();
  scrollTo(0, 0);
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

/** Changes members of the query, as a step that "back" undoes unless it replaces; what is empty goes. */
export function setQuery(changes: Readonly<Record<string, string>>, { replace = false } = {}): void {
  const query = new URLSearchParams(location.search);
  for (const [name, value] of Object.entries(changes)) {
    if (value === '') query.delete(name);
    else query.set(name, value);
  }
  const text = query.toString();
  const url = location.pathname + (text === '' ? '' : `?${text}`);
  if (url === location.pathname + location.search) return;
  history[replace ? 'replaceState' : 'pushState'](null, '', url);
  changed();
}

/** Path of a page about something whose name may hold anything. */
export const pathTo = (...parts: readonly string[]): string => `/${parts.map(encodeURIComponent).join('/')}`;
