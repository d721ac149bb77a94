import { useCallback, useEffect, useState } from 'preact/hooks';

/** Problem details (RFC 9457), or what kept the answer from coming. */
export class ApiError extends Error {
  readonly code: string;
  readonly status: number;

  constructor(code: string, status: number, message: string) {
    super(message);
    this.code = code;
    this.status = status;
  }
}

const tokenKey = 'mecai-token';

/** The token of this tab; it goes when the tab is closed. */
export const token = {
  get: (): string => sessionStorage.getItem(tokenKey) ?? '',
  set: (value: string) =>
    value === '' ? sessionStorage.removeItem(tokenKey) : sessionStorage.setItem(tokenKey, value),
};

let aheadMs: number | undefined;

/**
 * The server's time, milliseconds since 1970, as it said with its latest answer: a reader's clock may be days off.
 * Undefined before the first answer.
 */
export const serverNow = (): number | undefined => (aheadMs === undefined ? undefined : Date.now() + aheadMs);

/** So many milliseconds before now, where now is cut to whole grains, so that the same grain asks the same. */
export function since(agoMs: number, grainMs: number): string | undefined {
  const now = serverNow();
  if (now === undefined) return undefined;
  return new Date(Math.floor(now / grainMs) * grainMs - agoMs).toISOString();
}

function hearTime({ headers }: Response): void {
  const said = Date.parse(headers.get('date') ?? '');
  // To the second; what is less is the way.
  if (!Number.isNaN(said)) aheadMs = Math.abs(said - Date.now()) < 2_000 ? 0 : said - Date.now();
}

export async function call(path: string, body?: unknown): Promise<Response> {
  const headers: Record<string, string> = {};
  if (token.get() !== '') headers['authorization'] = `Bearer ${token.get()}`;
  if (body !== undefined) headers['content-type'] = 'application/json';
  let response: Response;
  try {
    response = await fetch(`/api/v1/${path}`, {
      headers,
      ...(body !== undefined && { method: 'POST', body: JSON.stringify(body) }),
    });
  } catch {
    throw new ApiError('offline', 0, 'The server does not answer.');
  }
  hearTime(response);
  if (response.ok) return response;
  const problem = (await response.json().catch(() => ({}))) as {
    code?: string;
    title?: string;
    detail?: string;
  };
  const { code = 'internal', title = `HTTP ${response.status}`, detail } = problem;
  throw new ApiError(code, response.status, detail === undefined ? title : `${title}: ${detail}`);
}

export const get = async <T>(path: string): Promise<T> => (await (await call(path)).json()) as T;
export const post = async <T>(path: string, body: unknown): Promise<T> =>
  (await (await call(path, body)).json()) as T;

/** Gives the reader a file. */
export function save(name: string, content: Blob): void {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(content);
  link.download = name;
  link.click();
  URL.revokeObjectURL(link.href);
}

export interface Loaded<T> {
  readonly data: T | undefined;
  readonly error: ApiError | undefined;
  readonly loading: boolean;
  /** When `data` came, milliseconds since 1970. */
  readonly at: number | undefined;
  readonly reload: () => void;
}

/**
 * What a path answers, asked again every so many milliseconds while the page is looked at.
 *
 * @param subject what the answer is about: as long as it stays the same, what was there is shown until more comes
 */
export function useApi<T>(path: string | undefined, everyMs = 0, subject = path): Loaded<T> {
  const [state, setState] = useState<{ subject?: string; data?: T; error?: ApiError; at?: number }>({});
  const [round, setRound] = useState(0);
  const reload = useCallback(() => setRound((before) => before + 1), []);
  useEffect(() => {
    if (path === undefined) return undefined;
    let current = true;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const load = async () => {
      try {
        const data = await get<T>(path);
        if (current) setState({ ...(subject !== undefined && { subject }), data, at: Date.now() });
      } catch (error) {
        const failed = error instanceof ApiError ? error : new ApiError('internal', 0, String(error));
        // What was there stays readable while the server is away.
        if (current)
          setState((before) => ({
            ...(before.subject === subject ? before : {}),
            ...(subject !== undefined && { subject }),
            error: failed,
          }));
      }
      if (current && everyMs > 0) timer = setTimeout(again, everyMs);
    };
    const again = () => {
      if (document.hidden) timer = setTimeout(again, everyMs);
      else void load();
    };
    void load();
    return () => {
      current = false;
      clearTimeout(timer);
    };
  }, [path, everyMs, round, subject]);
  const mine = state.subject === subject;
  return {
    data: mine ? state.data : undefined,
    error: mine ? state.error : undefined,
    loading: path !== undefined && (!mine || (!state.data && !state.error)),
    at: mine ? state.at : undefined,
    reload,
  };
}
